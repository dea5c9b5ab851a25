// The end of every bake, from a recipe or from a seed that a person changed: what is in it is written down, it is
// finished, published, and comes into the store under the next number.
import { FINISH } from '../apps/bake.ts';
import type { StepContext } from '../platform/operations/operation.ts';
import { askerOf } from '../platform/operations/run-child.ts';
import { hashFiles, LIST_PACKAGES, packFiles, parsePackages, readFiles } from './contents.ts';
import { type ImageParts, imageLock } from './parts.ts';
import { imageProblems } from './problems.ts';
import type { Bakeable } from './recipes.ts';
import { type CodeOrigin, insertImage, listImages, type NewImage } from './store.ts';

/** Bound of a command in a seed. */
export const COMMAND_MS = 1_200_000;
const OUTPUT_SHOWN = 1_500;
const WAIT_ONLINE = ['/usr/lib/systemd/systemd-networkd-wait-online', '--any', '--timeout=60'];
const ONLINE_MS = 70_000;

/** Runs a command in a seed; `image.step-failed` with its last output when it does not end with 0. */
export async function runIn(
  parts: ImageParts,
  where: { recipe: string; instance: string },
  what: string,
  argv: readonly string[],
  ctx: StepContext,
  more: { env?: Record<string, string>; stdin?: Uint8Array } = {},
): Promise<string> {
  const result = await parts.fleet.exec(where.instance, argv, { signal: ctx.signal, timeoutMs: COMMAND_MS, ...more });
  if (result.code === 0) return result.stdout;
  const output = `${result.stdout}\n${result.stderr}`.trim().slice(-OUTPUT_SHOWN);
  throw imageProblems.make('step-failed', { recipe: where.recipe, what, code: result.code, output });
}

/** Waits until the seed can reach the package sources; `image.seed-booting` (retryable) until then. */
export async function waitOnline(
  parts: ImageParts,
  { recipe, instance }: { recipe: string; instance: string },
  ctx: StepContext,
): Promise<void> {
  const online = await parts.fleet.exec(instance, WAIT_ONLINE, { signal: ctx.signal, timeoutMs: ONLINE_MS });
  if (online.code !== 0) throw imageProblems.make('seed-booting', { recipe, why: online.stderr.trim() });
}

/** What a bake says of itself in the operation. */
export interface Described {
  appVersion: string;
  packages: Record<string, string>;
}

/** Asks for version and packages, then removes what belongs to this container's own life. */
export async function describeAndFinish(
  parts: ImageParts,
  bakeable: Bakeable,
  instance: string,
  ctx: StepContext,
): Promise<{ appVersion: string; packages: Record<string, string> }> {
  const where = { recipe: bakeable.name, instance };
  const { recipe } = bakeable;
  const version =
    recipe === undefined
      ? bakeable.suite
      : await runIn(parts, where, 'printing the version', recipe.value.version, ctx);
  const listed = await runIn(parts, where, 'listing packages', LIST_PACKAGES, ctx);
  await runIn(parts, where, 'finishing', FINISH, ctx);
  return { appVersion: version.trim().split('\n')[0] ?? '', packages: parsePackages(listed) };
}

/** Whose own code is in it, and where it came from; of an image for everybody both are null. */
export interface OwnCode {
  ownSite: string | null;
  code: CodeOrigin | null;
}
/** For everybody. */
export const NOBODYS: OwnCode = { ownSite: null, code: null };

/** Lists the files, stops the container, publishes it, and stores the image. Begun again it goes on. */
export async function publish(
  parts: ImageParts,
  about: { bakeable: Bakeable; instance: string; hash: string; parent: string | null; seed: string | null } & OwnCode,
  described: Described,
  ctx: StepContext,
): Promise<{ number: number; fingerprint: string }> {
  const { fleet } = parts;
  const { signal } = ctx;
  const { bakeable, instance, hash, parent, seed, ownSite, code } = about;
  let files: { filesHash: string | null; files: string | null } = { filesHash: null, files: null };
  // Of layers nobody makes containers, so nobody asks what files they have.
  if (bakeable.recipe !== undefined) {
    await fleet.instances.start(instance, { signal });
    const marks = await readFiles(fleet, instance, signal);
    files = { filesHash: hashFiles(marks), files: await packFiles(marks) };
    ctx.say(`${marks.size} files`);
  }
  await fleet.instances.stop(instance, { signal, force: true });
  const labels = { kind: 'image', recipe: bakeable.name, hash, operation: ctx.operationId };
  // The alias is the newest image for everybody.
  const wish = { ...(ownSite === null ? { alias: bakeable.name } : {}), labels, description: bakeable.title };
  const { fingerprint } = (await readBaked(parts, ctx)) ?? (await fleet.images.publish(instance, wish, { signal }));
  const image = { recipe: bakeable.name, fingerprint, hash, parent, seed, ownSite, code, ...described, ...files };
  return register(parts, image, ctx);
}

const listBaked = (parts: ImageParts, { operationId, signal }: StepContext) =>
  parts.fleet.images.list({ labels: { kind: 'image', operation: operationId } }, { signal });

/** What this operation has baked before it was interrupted. */
export async function readBaked(parts: ImageParts, ctx: StepContext): Promise<{ fingerprint: string } | undefined> {
  return (await listBaked(parts, ctx))[0];
}

/** Removes what this operation has baked, unless it has come into the store. */
export async function dropUnregistered(parts: ImageParts, ctx: StepContext): Promise<void> {
  const known = new Set((await listImages(parts.store)).map((image) => image.fingerprint));
  for (const { fingerprint } of await listBaked(parts, ctx)) {
    if (!known.has(fingerprint)) await parts.fleet.images.delete(fingerprint, { signal: ctx.signal });
  }
}

/** Stores the image. */
export async function register(
  parts: ImageParts,
  image: NewImage,
  ctx: StepContext,
): Promise<{ number: number; fingerprint: string }> {
  return parts.store.transaction(async (sql) => {
    const row = await insertImage(sql, image);
    await parts.events.append(sql, {
      kind: 'image.baked',
      subject: imageLock(image.recipe),
      by: askerOf(ctx).by,
      data: { number: row.number, appVersion: image.appVersion, ...(image.seed === null ? {} : { seed: image.seed }) },
    });
    return { number: row.number, fingerprint: row.fingerprint };
  });
}
