// Bakes an image: a seed from the image below it, packages, files, the recipe's own script, then an immutable, numbered
// image. What stands below is baked first when it is missing or stale. The seed is removed in any case.
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import {
  ARCHIVE_PATH,
  FINISH,
  PREPARE_PATH,
  REFRESH_PACKAGES,
  renderInstall,
  renderTar,
  UNPACK,
} from '../apps/bake.ts';
import { runCommand } from '../engines/command.ts';
import type { Asker } from '../platform/operations/operation.ts';
import {
  makeOperation,
  type Operation,
  type OperationKind,
  type Step,
  type StepContext,
} from '../platform/operations/operation.ts';
import { askerOf, runChild } from '../platform/operations/run-child.ts';
import type { Sql } from '../platform/store.ts';
import { assertArchiveAtHand, fetchArchive } from './fetch-archive.ts';
import { makeBase } from './make-base.ts';
import { type ImageParts, imageLock } from './parts.ts';
import { imageProblems } from './problems.ts';
import { type Bakeable, findBakeable } from './recipes.ts';
import { insertImage, listImages, readNewest } from './store.ts';

const paramsSchema = z.object({ recipe: z.string() });
type Params = z.infer<typeof paramsSchema>;

const PARENT_MS = 1_800_000;
const PACKAGES_MS = 1_200_000;
const OUTPUT_SHOWN = 1_500;
const WAIT_ONLINE = ['/usr/lib/systemd/systemd-networkd-wait-online', '--any', '--timeout=60'];
const ONLINE_MS = 70_000;
/** One line a package for dpkg-query: name, tab, version. */
const LISTED = '$' + '{Package}\t$' + '{Version}\n';

/** Begins `image.bake` in the caller's transaction; refused at once without such a recipe or its archive. */
export async function startBake(parts: ImageParts, sql: Sql, recipe: string, who: Asker): Promise<Operation> {
  await assertArchiveAtHand(parts, findBakeable(parts.shelf, recipe));
  return parts.operations.start(sql, 'image.bake', { recipe }, who);
}

/** Whether the newest image of a recipe was baked from it as it stands now, and the image still exists. */
export async function isFresh(parts: ImageParts, bakeable: Bakeable, signal: AbortSignal): Promise<boolean> {
  const newest = await readNewest(parts.store, bakeable.name);
  if (newest?.hash !== bakeable.hash) return false;
  return (await parts.fleet.images.read(newest.fingerprint, { signal })) !== undefined;
}

/** Bakes it as a child of the step, unless a fresh image is there. */
export async function ensureFresh(parts: ImageParts, recipe: string, ctx: StepContext): Promise<void> {
  if (await isFresh(parts, findBakeable(parts.shelf, recipe), ctx.signal)) return;
  const begin = (sql: Sql) => startBake(parts, sql, recipe, askerOf(ctx));
  await runChild(parts, { kind: 'image.bake', lock: imageLock(recipe), begin }, ctx.signal);
}

/** The operation `image.bake`. */
export function makeImageBake(parts: ImageParts): OperationKind<Params> {
  return makeOperation<Params>({
    kind: 'image.bake',
    params: paramsSchema,
    locks: ({ recipe }) => [imageLock(recipe)],
    title: ({ recipe }) => `Bake the image of ${recipe}`,
    steps: ({ recipe }) => {
      const bakeable = findBakeable(parts.shelf, recipe);
      return bakeable.parent === undefined
        ? [makeBaseStep(parts, bakeable)]
        : makeLayerSteps(parts, bakeable, bakeable.parent);
    },
  });
}

function makeBaseStep(parts: ImageParts, bakeable: Bakeable): Step {
  return {
    name: 'base',
    timeoutMs: PARENT_MS,
    async do(ctx) {
      const { fingerprint } = (await readBaked(parts, ctx)) ?? (await makeBase(parts, bakeable, ctx));
      return register(parts, bakeable, fingerprint, { appVersion: bakeable.suite, packages: {} }, ctx);
    },
    undo: (ctx) => dropUnregistered(parts, ctx),
  };
}

function makeLayerSteps(parts: ImageParts, bakeable: Bakeable, parent: string): Step[] {
  const { fleet, store } = parts;
  const seed = `seed-${bakeable.name}`;
  const dropSeed = (ctx: StepContext) => fleet.instances.delete(seed, { force: true, signal: ctx.signal });

  async function inSeed(
    what: string,
    argv: readonly string[],
    ctx: StepContext,
    more: { env?: Record<string, string>; stdin?: Uint8Array; timeoutMs?: number } = {},
  ): Promise<string> {
    const result = await fleet.exec(seed, argv, { signal: ctx.signal, timeoutMs: PACKAGES_MS, ...more });
    if (result.code === 0) return result.stdout;
    const output = `${result.stdout}\n${result.stderr}`.trim().slice(-OUTPUT_SHOWN);
    throw imageProblems.make('step-failed', { recipe: bakeable.name, what, code: result.code, output });
  }

  return [
    { name: 'parent', timeoutMs: PARENT_MS, do: (ctx) => ensureFresh(parts, parent, ctx) },
    {
      name: 'seed',
      timeoutMs: 120_000,
      async do(ctx) {
        const image = await readNewest(store, parent);
        if (image === undefined) throw imageProblems.make('none', { recipe: parent });
        // Begun again: what an interrupted bake left in the seed is not trusted.
        await dropSeed(ctx);
        await fleet.instances.create(
          {
            name: seed,
            source: { image: image.fingerprint },
            labels: { kind: 'seed', recipe: bakeable.name },
            devices: { eth0: { kind: 'nic' } },
            start: true,
          },
          { signal: ctx.signal },
        );
      },
      undo: dropSeed,
    },
    {
      name: 'packages',
      timeoutMs: PACKAGES_MS,
      async do(ctx) {
        const online = await fleet.exec(seed, WAIT_ONLINE, { signal: ctx.signal, timeoutMs: ONLINE_MS });
        if (online.code !== 0) {
          throw imageProblems.make('seed-booting', { recipe: bakeable.name, why: online.stderr.trim() });
        }
        const packages = bakeable.layer?.packages ?? [];
        if (packages.length === 0) return;
        // Mends what an interrupted installation left half done; otherwise it does nothing.
        await inSeed('completing earlier packages', ['dpkg', '--configure', '-a'], ctx);
        await inSeed('refreshing the package lists', REFRESH_PACKAGES, ctx);
        ctx.say(`installing ${packages.length} packages and what they need`);
        await inSeed('installing packages', renderInstall(packages), ctx, { env: { ...bakeable.layer?.environment } });
      },
    },
    {
      name: 'files',
      timeoutMs: 120_000,
      async do(ctx) {
        const { layer } = bakeable;
        if (layer?.filesFolder !== undefined) {
          const tar = await runCommand(renderTar(layer.filesFolder), { timeoutMs: 60_000, signal: ctx.signal });
          await inSeed('unpacking files', UNPACK, ctx, { stdin: tar.stdout });
        }
        const generated = (layer?.generated ?? []).map(({ path, content, mode }) => ({
          path: path.replace(/^\//, ''),
          content,
          mode,
        }));
        if (generated.length > 0)
          await fleet.files.writeTree(seed, { entries: generated }, '/', { signal: ctx.signal });
      },
    },
    {
      name: 'prepare',
      timeoutMs: PACKAGES_MS,
      async do(ctx) {
        const { layer } = bakeable;
        const archive = await fetchArchive(parts, bakeable, ctx.signal);
        if (archive !== undefined)
          await fleet.files.write(seed, ARCHIVE_PATH, archive, { signal: ctx.signal, timeoutMs: 300_000 });
        if (layer?.prepareScript !== undefined) {
          const script = await readFile(layer.prepareScript);
          await fleet.files.write(seed, PREPARE_PATH, script, { mode: 0o755, signal: ctx.signal });
          await inSeed('prepare.sh', [PREPARE_PATH], ctx, { env: { ...layer.environment } });
        }
        const version =
          bakeable.recipe === undefined
            ? bakeable.suite
            : await inSeed('printing the version', bakeable.recipe.value.version, ctx);
        const listed = await inSeed('listing packages', ['dpkg-query', '-W', '-f', LISTED], ctx);
        await inSeed('finishing', FINISH, ctx);
        const lines = listed.split('\n').filter((line) => line !== '');
        const packages = Object.fromEntries(lines.map((line) => line.split('\t') as [string, string]));
        return { appVersion: version.trim().split('\n')[0] ?? '', packages };
      },
    },
    {
      name: 'publish',
      timeoutMs: 600_000,
      async do(ctx) {
        const labels = { kind: 'image', recipe: bakeable.name, hash: bakeable.hash, operation: ctx.operationId };
        const earlier = await readBaked(parts, ctx);
        if (earlier === undefined) await fleet.instances.stop(seed, { signal: ctx.signal, force: true });
        const wish = { alias: bakeable.name, labels, description: bakeable.title };
        const image = earlier ?? (await fleet.images.publish(seed, wish, { signal: ctx.signal }));
        const described = ctx.outputs.prepare as { appVersion: string; packages: Record<string, string> };
        return register(parts, bakeable, image.fingerprint, described, ctx);
      },
      undo: (ctx) => dropUnregistered(parts, ctx),
    },
    { name: 'clean', timeoutMs: 60_000, do: dropSeed },
  ];
}

const listBaked = (parts: ImageParts, { operationId, signal }: StepContext) =>
  parts.fleet.images.list({ labels: { kind: 'image', operation: operationId } }, { signal });

/** What this operation has baked before it was interrupted. */
async function readBaked(parts: ImageParts, ctx: StepContext): Promise<{ fingerprint: string } | undefined> {
  return (await listBaked(parts, ctx))[0];
}

/** Removes what this operation has baked, unless it has come into the store. */
async function dropUnregistered(parts: ImageParts, ctx: StepContext): Promise<void> {
  const known = new Set((await listImages(parts.store)).map((image) => image.fingerprint));
  for (const { fingerprint } of await listBaked(parts, ctx)) {
    if (!known.has(fingerprint)) await parts.fleet.images.delete(fingerprint, { signal: ctx.signal });
  }
}

async function register(
  parts: ImageParts,
  bakeable: Bakeable,
  fingerprint: string,
  described: { appVersion: string; packages: Record<string, string> },
  ctx: StepContext,
): Promise<{ number: number; fingerprint: string }> {
  return parts.store.transaction(async (sql) => {
    const row = await insertImage(sql, { recipe: bakeable.name, fingerprint, hash: bakeable.hash, ...described });
    const data = { number: row.number, appVersion: described.appVersion };
    await parts.events.append(sql, {
      kind: 'image.baked',
      subject: imageLock(bakeable.name),
      by: askerOf(ctx).by,
      data,
    });
    return { number: row.number, fingerprint };
  });
}
