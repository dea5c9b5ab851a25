// Seeds over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type ApiRoutes, accepted, dryRunQuery, json, jsonBody, makeRoutes, pageOf, whoOf } from '../platform/http.ts';
import { beginOrPlan, planned } from '../platform/plan-change.ts';
import { assertDisk } from '../servers/room.ts';
import { compareSeed, differenceSchema } from './compare.ts';
import type { ImageParts } from './parts.ts';
import { startSeedBake } from './seed-bake.ts';
import { newSeedSchema, startSeedCreate } from './seed-create.ts';
import { startSeedDelete } from './seed-delete.ts';
import { listSeeds, readSeed, type SeedRow, seedInstance } from './seed-store.ts';

const seedSchema = z
  .object({
    name: z.string(),
    recipe: z.string(),
    image: z.string().describe('What it was made from, or last baked to'),
    container: z.string(),
    state: z.enum(['creating', 'ready', 'deleting']),
    createdBy: z.string(),
    createdAt: z.string(),
  })
  .openapi('Seed');

const toView = ({ name, recipe, imageNumber, state, createdBy, createdAt }: SeedRow): z.infer<typeof seedSchema> => ({
  ...{ name, recipe, image: `${recipe}/${imageNumber}`, container: seedInstance(name), state, createdBy, createdAt },
});

/** What people change in a seed, and the image that is made of it. */
const SEED_DISK_MB = 2048;
/** Listing some ten thousand files of a seed. */
const COMPARE_MS = 120_000;
const nameParam = z.object({ name: z.string() });

/** /v1/seeds. */
export function makeSeedRoutes(parts: ImageParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/seeds',
      operationId: 'listSeeds',
      tags: ['seeds'],
      summary: 'List seeds',
      responses: { 200: json(pageOf(seedSchema), 'All seeds') },
    }),
    async (c) => c.json({ items: (await listSeeds(store)).map(toView) }, 200),
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/seeds/{name}',
      operationId: 'readSeed',
      tags: ['seeds'],
      summary: 'Read one seed',
      request: { params: nameParam },
      responses: { 200: json(seedSchema, 'The seed') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const seed = await readSeed(store, name);
      if (seed === undefined) throw commonProblems.make('not-found', { noun: 'seed', name });
      return c.json(toView(seed), 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/seeds/{name}/diff',
      operationId: 'diffSeed',
      tags: ['seeds'],
      summary: 'What was changed in a seed since its image',
      request: { params: nameParam },
      responses: { 200: json(differenceSchema, 'Packages and files') },
    }),
    async (c) => {
      const signal = AbortSignal.any([c.req.raw.signal, AbortSignal.timeout(COMPARE_MS)]);
      return c.json(await compareSeed(parts, c.req.valid('param').name, signal), 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/seeds',
      operationId: 'createSeed',
      tags: ['seeds'],
      summary: 'Make a seed from an image',
      request: { query: dryRunQuery, body: jsonBody(newSeedSchema) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const wish = c.req.valid('json');
      await assertDisk(parts.fleet, SEED_DISK_MB);
      return beginOrPlan(c, store, (s) => s.transaction((sql) => startSeedCreate(parts, sql, wish, whoOf(c))));
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/seeds/{name}/bake',
      operationId: 'bakeSeed',
      tags: ['seeds'],
      summary: 'Bake an image from a seed as it stands now',
      request: {
        query: dryRunQuery,
        params: nameParam,
        body: jsonBody(z.object({ upgrade: z.boolean().default(false).describe('Newest packages first') })),
      },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const wish = { name: c.req.valid('param').name, upgrade: c.req.valid('json').upgrade };
      await assertDisk(parts.fleet, SEED_DISK_MB);
      return beginOrPlan(c, store, (s) => s.transaction((sql) => startSeedBake(parts, sql, wish, whoOf(c))));
    },
  );
  routes.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/seeds/{name}',
      operationId: 'deleteSeed',
      tags: ['seeds'],
      summary: 'Delete a seed; images baked from it stay',
      request: { query: dryRunQuery, params: nameParam },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      return beginOrPlan(c, store, (s) => s.transaction((sql) => startSeedDelete(parts, sql, name, whoOf(c))));
    },
  );
  return routes;
}
