// Bakes an image: a container from the image below it, packages, files, the recipe's own script, then an immutable,
// numbered image. What stands below is baked first when it is missing or stale. The container is removed in any case.
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { ARCHIVE_PATH, PREPARE_PATH, REFRESH_PACKAGES, renderInstall, renderTar, UNPACK } from '../apps/bake.ts';
import { runCommand } from '../engines/command.ts';
import {
  type Asker,
  makeOperation,
  type Operation,
  type OperationKind,
  type Step,
  type StepContext,
} from '../platform/operations/operation.ts';
import { askerOf, runChild } from '../platform/operations/run-child.ts';
import type { Sql } from '../platform/store.ts';
import { assertArchiveAtHand, fetchArchive } from './fetch-archive.ts';
import {
  COMMAND_MS,
  type Described,
  describeAndFinish,
  dropUnregistered,
  NOBODYS,
  publish,
  readBaked,
  register,
  runIn,
  waitOnline,
} from './finish-bake.ts';
import { makeBase } from './make-base.ts';
import { type ImageParts, imageLock } from './parts.ts';
import { imageProblems } from './problems.ts';
import { type Bakeable, findBakeable } from './recipes.ts';
import { type ImageRow, nameOf, readNewest } from './store.ts';

const paramsSchema = z.object({ recipe: z.string() });
type Params = z.infer<typeof paramsSchema>;

const PARENT_MS = 1_800_000;

/** Begins `image.bake` in the caller's transaction; refused at once without such a recipe or its archive. */
export async function startBake(parts: ImageParts, sql: Sql, recipe: string, who: Asker): Promise<Operation> {
  await assertArchiveAtHand(parts, findBakeable(parts.shelf, recipe));
  return parts.operations.start(sql, 'image.bake', { recipe }, who);
}

/** Whether the newest image was baked from the recipe and the image below as they stand now, and still exists. */
export async function isFresh(parts: ImageParts, bakeable: Bakeable, signal: AbortSignal): Promise<boolean> {
  const newest = await readNewest(parts.store, bakeable.name);
  if (newest === undefined || newest.hash !== bakeable.hash) return false;
  if ((await parts.fleet.images.read(newest.fingerprint, { signal })) === undefined) return false;
  if (bakeable.parent === undefined) return true;
  const below = await readNewest(parts.store, bakeable.parent);
  if (below === undefined) return false;
  // Images from before parents were written down are told by their age.
  return newest.parent === null ? below.createdAt <= newest.createdAt : nameOf(below) === newest.parent;
}

/** Bakes it as a child of the step, unless a fresh image is there. */
export async function ensureFresh(parts: ImageParts, recipe: string, ctx: StepContext): Promise<void> {
  if (await isFresh(parts, findBakeable(parts.shelf, recipe), ctx.signal)) return;
  await bakeNow(parts, recipe, ctx);
}

/** Bakes it as a child of the step. */
export async function bakeNow(parts: ImageParts, recipe: string, ctx: StepContext): Promise<void> {
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
  const { name: recipe, suite: appVersion, hash } = bakeable;
  return {
    name: 'base',
    timeoutMs: PARENT_MS,
    async do(ctx) {
      const { fingerprint } = (await readBaked(parts, ctx)) ?? (await makeBase(parts, bakeable, ctx));
      const nothing = { packages: {}, parent: null, seed: null, filesHash: null, files: null, ...NOBODYS };
      return register(parts, { recipe, fingerprint, hash, appVersion, ...nothing }, ctx);
    },
    undo: (ctx) => dropUnregistered(parts, ctx),
  };
}

function makeLayerSteps(parts: ImageParts, bakeable: Bakeable, parent: string): Step[] {
  const { fleet, store } = parts;
  const instance = `bake-${bakeable.name}`;
  const where = { recipe: bakeable.name, instance };
  const drop = (ctx: StepContext) => fleet.instances.delete(instance, { force: true, signal: ctx.signal });
  const readParent = async (): Promise<ImageRow> => {
    const image = await readNewest(store, parent);
    if (image === undefined) throw imageProblems.make('none', { recipe: parent });
    return image;
  };

  return [
    { name: 'parent', timeoutMs: PARENT_MS, do: (ctx) => ensureFresh(parts, parent, ctx) },
    {
      name: 'seed',
      timeoutMs: 120_000,
      async do(ctx) {
        const image = await readParent();
        // Begun again: what an interrupted bake left there is not trusted.
        await drop(ctx);
        await fleet.instances.create(
          {
            name: instance,
            source: { image: image.fingerprint },
            labels: { kind: 'bake', recipe: bakeable.name },
            devices: { eth0: { kind: 'nic' } },
            start: true,
          },
          { signal: ctx.signal },
        );
        return { parent: nameOf(image) };
      },
      undo: drop,
    },
    {
      name: 'packages',
      timeoutMs: COMMAND_MS,
      async do(ctx) {
        await waitOnline(parts, where, ctx);
        const packages = bakeable.layer?.packages ?? [];
        if (packages.length === 0) return;
        // Mends what an interrupted installation left half done; otherwise it does nothing.
        await runIn(parts, where, 'completing earlier packages', ['dpkg', '--configure', '-a'], ctx);
        await runIn(parts, where, 'refreshing the package lists', REFRESH_PACKAGES, ctx);
        ctx.say(`installing ${packages.length} packages and what they need`);
        const env = { ...bakeable.layer?.environment };
        await runIn(parts, where, 'installing packages', renderInstall(packages), ctx, { env });
      },
    },
    {
      name: 'files',
      timeoutMs: 120_000,
      async do(ctx) {
        const { layer } = bakeable;
        if (layer?.filesFolder !== undefined) {
          const tar = await runCommand(renderTar(layer.filesFolder), { timeoutMs: 60_000, signal: ctx.signal });
          await runIn(parts, where, 'unpacking files', UNPACK, ctx, { stdin: tar.stdout });
        }
        const generated = (layer?.generated ?? []).map(({ path, content, mode }) => ({
          path: path.replace(/^\//, ''),
          content,
          mode,
        }));
        if (generated.length > 0)
          await fleet.files.writeTree(instance, { entries: generated }, '/', { signal: ctx.signal });
      },
    },
    {
      name: 'prepare',
      timeoutMs: COMMAND_MS,
      async do(ctx) {
        const { layer } = bakeable;
        const archive = await fetchArchive(parts, bakeable, ctx.signal);
        if (archive !== undefined)
          await fleet.files.write(instance, ARCHIVE_PATH, archive, { signal: ctx.signal, timeoutMs: 300_000 });
        if (layer?.prepareScript !== undefined) {
          const script = await readFile(layer.prepareScript);
          await fleet.files.write(instance, PREPARE_PATH, script, { mode: 0o755, signal: ctx.signal });
          await runIn(parts, where, 'prepare.sh', [PREPARE_PATH], ctx, { env: { ...layer.environment } });
        }
        return await describeAndFinish(parts, bakeable, instance, ctx);
      },
    },
    {
      name: 'publish',
      timeoutMs: 600_000,
      do(ctx) {
        const { parent: below } = ctx.outputs.seed as { parent: string };
        const about = { bakeable, instance, hash: bakeable.hash, parent: below, seed: null, ...NOBODYS };
        return publish(parts, about, ctx.outputs.prepare as unknown as Described, ctx);
      },
      undo: (ctx) => dropUnregistered(parts, ctx),
    },
    { name: 'clean', timeoutMs: 60_000, do: drop },
  ];
}
