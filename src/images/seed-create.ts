// Makes a seed: a container from an image, which people go into and change, and bake an image from.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { waitOnline } from './finish-bake.ts';
import { type ImageParts, seedLock } from './parts.ts';
import { imageProblems } from './problems.ts';
import { findBakeable } from './recipes.ts';
import { deleteSeed, insertSeed, readSeed, seedInstance, storeSeedState } from './seed-store.ts';
import { nameOf, readImage, readNewest } from './store.ts';

/** What a person says of a new seed. */
export const newSeedSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,38}$/, 'must be a-z, 0-9 and "-", begin with a letter, 39 characters at most'),
  app: z.string().describe('The recipe whose image it begins with'),
  image: z.int().min(1).optional().describe('Its number; the newest unless told'),
  site: z.string().optional().describe('What is baked from it is for this site alone'),
});
export type NewSeed = z.infer<typeof newSeedSchema>;

const paramsSchema = z.object({ seed: z.string(), recipe: z.string(), fingerprint: z.string() });
type Params = z.infer<typeof paramsSchema>;

/** Stores the new seed and begins `seed.create`, in the caller's transaction. */
export async function startSeedCreate(parts: ImageParts, sql: Sql, wish: NewSeed, who: Asker): Promise<Operation> {
  const { name, app: recipe } = wish;
  if (findBakeable(parts.shelf, recipe).recipe === undefined) throw imageProblems.make('only-layer', { layer: recipe });
  if ((await readSeed(sql, name)) !== undefined) throw imageProblems.make('seed-taken', { seed: name });
  const site = wish.site === undefined ? undefined : await parts.findSite(sql, wish.site);
  if (wish.site !== undefined && site?.app !== recipe)
    throw commonProblems.make('not-found', { noun: `site of ${recipe}`, name: wish.site });
  const newest = async () => (site && (await readNewest(sql, recipe, site.id))) ?? (await readNewest(sql, recipe));
  const image = wish.image === undefined ? await newest() : await readImage(sql, recipe, wish.image);
  if (image === undefined && wish.image === undefined) throw imageProblems.make('none', { recipe });
  if (image === undefined || image.state !== 'ready') {
    throw imageProblems.make('gone', { image: `${recipe}/${wish.image}` });
  }
  // What was one site's alone stays so.
  const ownSite = image.ownSite ?? site?.id ?? null;
  if (site !== undefined && ownSite !== site.id)
    throw imageProblems.make('of-site', { image: nameOf(image), pool: name });
  await insertSeed(sql, { name, recipe, imageNumber: image.number, createdBy: who.by, ownSite });
  return parts.operations.start(sql, 'seed.create', { seed: name, recipe, fingerprint: image.fingerprint }, who);
}

/** The operation `seed.create`. */
export function makeSeedCreate(parts: ImageParts): OperationKind<Params> {
  const { store, fleet, events } = parts;
  return makeOperation<Params>({
    kind: 'seed.create',
    params: paramsSchema,
    locks: ({ seed }) => [seedLock(seed)],
    title: ({ seed, recipe }) => `Make the seed ${seed} of ${recipe}`,
    steps: ({ seed, recipe, fingerprint }) => [
      {
        name: 'container',
        timeoutMs: 120_000,
        async do({ signal }) {
          await fleet.instances.ensure(
            {
              name: seedInstance(seed),
              source: { image: fingerprint },
              labels: { kind: 'seed', seed, recipe },
              devices: { eth0: { kind: 'nic' } },
              start: true,
            },
            { signal },
          );
        },
        async undo({ signal }) {
          await fleet.instances.delete(seedInstance(seed), { force: true, signal });
          await deleteSeed(store, seed);
        },
      },
      {
        name: 'network',
        timeoutMs: 120_000,
        do: (ctx) => waitOnline(parts, { recipe, instance: seedInstance(seed) }, ctx),
      },
      {
        name: 'open',
        timeoutMs: 10_000,
        async do({ operationId }) {
          await store.transaction(async (sql) => {
            const row = await readSeed(sql, seed);
            if (row === undefined) throw commonProblems.make('not-found', { noun: 'seed', name: seed });
            await storeSeedState(sql, seed, 'ready');
            const data = { image: nameOf({ recipe, number: row.imageNumber }) };
            await events.append(sql, {
              kind: 'seed.ready',
              subject: seedLock(seed),
              by: `operation:${operationId}`,
              data,
            });
          });
        },
      },
    ],
  });
}
