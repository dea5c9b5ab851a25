// Bakes an image from a seed that a person changed. A copy is baked, so that the seed stays as it is, with its shell
// histories and its journal, and people may stay in it. With `upgrade` the seed gets the newest packages first.
import { z } from 'zod';
import { REFRESH_PACKAGES } from '../apps/bake.ts';
import { commonProblems } from '../lib/errors.ts';
import {
  type Asker,
  makeOperation,
  type Operation,
  type OperationKind,
  type StepContext,
} from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import {
  COMMAND_MS,
  type Described,
  describeAndFinish,
  dropUnregistered,
  publish,
  runIn,
  waitOnline,
} from './finish-bake.ts';
import { type ImageParts, imageLock, seedLock } from './parts.ts';
import { imageProblems } from './problems.ts';
import { findBakeable } from './recipes.ts';
import { readSeed, type SeedRow, seedInstance, storeSeedImage } from './seed-store.ts';
import { readImage } from './store.ts';

const paramsSchema = z.object({ seed: z.string(), recipe: z.string(), parent: z.string(), upgrade: z.boolean() });
type Params = z.infer<typeof paramsSchema>;

const SNAPSHOT = 'bake';
const UPGRADE = ['apt-get', '-qq', '-y', '--no-install-recommends', '--with-new-pkgs', 'upgrade'];

/** The seed, when it can be used; `image.seed-not-ready` otherwise. */
export async function readReadySeed(sql: Sql, name: string): Promise<SeedRow> {
  const seed = await readSeed(sql, name);
  if (seed === undefined) throw commonProblems.make('not-found', { noun: 'seed', name });
  if (seed.state !== 'ready') throw imageProblems.make('seed-not-ready', { seed: name, state: seed.state });
  return seed;
}

/** Begins `seed.bake` in the caller's transaction. */
export async function startSeedBake(
  parts: ImageParts,
  sql: Sql,
  { name, upgrade }: { name: string; upgrade: boolean },
  who: Asker,
): Promise<Operation> {
  const { recipe, imageNumber } = await readReadySeed(sql, name);
  const params = { seed: name, recipe, parent: `${recipe}/${imageNumber}`, upgrade };
  return parts.operations.start(sql, 'seed.bake', params, who);
}

/** The operation `seed.bake`. An upgrade of the seed's packages is not undone. */
export function makeSeedBake(parts: ImageParts): OperationKind<Params> {
  const { store, fleet } = parts;
  return makeOperation<Params>({
    kind: 'seed.bake',
    params: paramsSchema,
    locks: ({ seed, recipe }) => [seedLock(seed), imageLock(recipe)],
    title: ({ seed, recipe }) => `Bake an image of ${recipe} from the seed ${seed}`,
    steps: ({ seed, recipe, parent, upgrade }) => {
      const source = seedInstance(seed);
      const instance = `bake-${recipe}`;
      const drop = async ({ signal }: StepContext) => {
        await fleet.instances.delete(instance, { force: true, signal });
        await fleet.snapshots.delete(source, SNAPSHOT, { signal });
      };
      return [
        {
          name: 'upgrade',
          timeoutMs: COMMAND_MS,
          async do(ctx) {
            if (!upgrade) return;
            const where = { recipe, instance: source };
            await waitOnline(parts, where, ctx);
            await runIn(parts, where, 'completing earlier packages', ['dpkg', '--configure', '-a'], ctx);
            await runIn(parts, where, 'refreshing the package lists', REFRESH_PACKAGES, ctx);
            await runIn(parts, where, 'upgrading packages', UPGRADE, ctx, {
              env: { DEBIAN_FRONTEND: 'noninteractive' },
            });
          },
        },
        {
          name: 'copy',
          timeoutMs: 120_000,
          async do(ctx) {
            await drop(ctx);
            const { signal } = ctx;
            await fleet.snapshots.create(source, SNAPSHOT, { signal });
            const spec = {
              name: instance,
              source: { copyOf: `${source}/${SNAPSHOT}` },
              labels: { kind: 'bake', recipe },
              devices: { eth0: { kind: 'nic' as const } },
              start: true,
            };
            await fleet.instances.create(spec, { signal });
          },
          undo: drop,
        },
        {
          name: 'finish',
          timeoutMs: COMMAND_MS,
          async do(ctx) {
            await waitOnline(parts, { recipe, instance }, ctx);
            return await describeAndFinish(parts, findBakeable(parts.shelf, recipe), instance, ctx);
          },
        },
        {
          name: 'publish',
          timeoutMs: 600_000,
          async do(ctx) {
            // No recipe's hash: the recipe alone would not give this image.
            const [, number = ''] = parent.split('/');
            const own = {
              ownSite: (await readSeed(store, seed))?.ownSite ?? null,
              code: (await readImage(store, recipe, Number(number)))?.code ?? null,
            };
            const hash = `seed:${seed}`;
            const about = { bakeable: findBakeable(parts.shelf, recipe), instance, hash, parent, seed, ...own };
            const baked = await publish(parts, about, ctx.outputs.finish as unknown as Described, ctx);
            await storeSeedImage(store, seed, baked.number);
            return baked;
          },
          undo: (ctx) => dropUnregistered(parts, ctx),
        },
        { name: 'clean', timeoutMs: 60_000, do: drop },
      ];
    },
  });
}
