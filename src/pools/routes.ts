// Pools over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import {
  type ApiRoutes,
  accepted,
  answerAccepted,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  pageOf,
  planSchema,
  whoOf,
} from '../platform/http.ts';
import { beginOrPlan, planned, planOf, rehearsing } from '../platform/plan-change.ts';
import type { Sql } from '../platform/store.ts';
import { assertDisk } from '../servers/room.ts';
import { newPoolSchema, startPoolCreate } from './create.ts';
import { startPoolDelete } from './delete.ts';
import { nodeLimitsSchema, startPoolLimit } from './limits.ts';
import type { PoolParts } from './parts.ts';
import { planPoolCreate, planPoolDelete, planPoolScale } from './plan.ts';
import { startPoolScale } from './scale.ts';
import { listNodes, listPools, storePoolMaxSites } from './store.ts';

const poolSchema = z
  .object({
    name: z.string(),
    app: z.string(),
    kind: z.enum(['shared', 'dedicated']),
    dedicatedTo: z.string().nullable().describe('The name of the only site that may live on it'),
    limits: nodeLimitsSchema.describe('What one node may use at most'),
    role: z.enum(['serving', 'worker']),
    worksFor: z.string().nullable().describe('Of workers: the pool whose tasks they run'),
    imageNumber: z.number(),
    otherImage: z
      .number()
      .nullable()
      .describe('While waves bring its sites to another image: the image beside its own'),
    otherSites: z.number().describe('How many of its sites are on that one'),
    wanted: z.number().describe('Nodes of its own image'),
    otherWanted: z.number().nullable(),
    ready: z.number(),
    sites: z.number(),
    maxSites: z.number(),
    nodeMemoryMb: z.number(),
    state: z.enum(['creating', 'ready', 'deleting', 'staging']),
    createdAt: z.string(),
  })
  .openapi('Pool');

/** Nodes share their image's blocks; this is for their logs and the first uploads. */
const POOL_DISK_MB = 512;

const limitsWish = z.strictObject({
  cpus: nodeLimitsSchema.shape.cpus.nullable(),
  memoryMb: nodeLimitsSchema.shape.memoryMb.nullable(),
  processes: nodeLimitsSchema.shape.processes.nullable(),
  diskGib: nodeLimitsSchema.shape.diskGib.nullable(),
});
const nameParam = z.object({ name: z.string() });

/** /v1/pools. */
export function makePoolRoutes(parts: PoolParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();

  async function viewPools(): Promise<z.infer<typeof poolSchema>[]> {
    const nodes = await listNodes(store);
    return Promise.all(
      (await listPools(store)).map(async (pool) => ({
        ...pool,
        dedicatedTo: pool.dedicatedTo === null ? null : ((await parts.findSite(store, pool.dedicatedTo))?.name ?? null),
        role: pool.worksFor === null ? ('serving' as const) : ('worker' as const),
        ready: nodes.filter((node) => node.pool === pool.name && node.state === 'ready').length,
        sites: await parts.countSites(store, pool.name),
        otherSites: pool.otherGeneration === null ? 0 : await parts.countSites(store, pool.name, pool.otherGeneration),
      })),
    );
  }

  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/pools',
      operationId: 'listPools',
      tags: ['pools'],
      summary: 'List pools',
      responses: { 200: json(pageOf(poolSchema), 'All pools') },
    }),
    async (c) => c.json({ items: await viewPools() }, 200),
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/pools/{name}',
      operationId: 'readPool',
      tags: ['pools'],
      summary: 'Read one pool',
      request: { params: nameParam },
      responses: { 200: json(poolSchema, 'The pool') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const pool = (await viewPools()).find((one) => one.name === name);
      if (pool === undefined) throw commonProblems.make('not-found', { noun: 'pool', name });
      return c.json(pool, 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/pools',
      operationId: 'createPool',
      tags: ['pools'],
      summary: 'Create a pool',
      request: { query: dryRunQuery, body: jsonBody(newPoolSchema) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const wish = c.req.valid('json');
      await assertDisk(parts.fleet, POOL_DISK_MB);
      if (c.req.valid('query').dryRun) return c.json(await planPoolCreate(parts, wish, whoOf(c)), 200);
      const operation = await store.transaction((sql) => startPoolCreate(parts, sql, wish, whoOf(c)));
      return answerAccepted(c, operation);
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/pools/{name}/scale',
      operationId: 'scalePool',
      tags: ['pools'],
      summary: 'Change how many nodes a pool wants',
      request: { params: nameParam, query: dryRunQuery, body: jsonBody(z.object({ size: z.int().min(1).max(100) })) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const { size } = c.req.valid('json');
      if (c.req.valid('query').dryRun) return c.json(await planPoolScale(parts, name, size, whoOf(c)), 200);
      const operation = await store.transaction((sql) => startPoolScale(parts, sql, name, size, whoOf(c)));
      return answerAccepted(c, operation);
    },
  );
  routes.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/pools/{name}',
      operationId: 'deletePool',
      tags: ['pools'],
      summary: 'Delete a pool that has no sites',
      request: {
        params: nameParam,
        query: dryRunQuery.extend({ deleteBackups: z.enum(['true', 'false']).default('false') }),
      },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const wish = { name, deleteBackups: c.req.valid('query').deleteBackups === 'true' };
      if (c.req.valid('query').dryRun) return c.json(await planPoolDelete(parts, wish, whoOf(c)), 200);
      const operation = await store.transaction((sql) => startPoolDelete(parts, sql, wish, whoOf(c)), 'read committed');
      return answerAccepted(c, operation);
    },
  );
  routes.openapi(
    createRoute({
      method: 'patch',
      path: '/v1/pools/{name}',
      operationId: 'changePool',
      tags: ['pools'],
      summary: 'Change how many sites may live on a pool',
      request: {
        query: dryRunQuery,
        params: nameParam,
        body: jsonBody(newPoolSchema.pick({ maxSites: true }).required()),
      },
      responses: { 200: json(z.union([poolSchema, planSchema]), 'The pool') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const { maxSites } = c.req.valid('json');
      const change = async (sql: Sql): Promise<boolean> => {
        if (await storePoolMaxSites(sql, name, maxSites)) return true;
        throw commonProblems.make('not-found', { noun: 'pool', name });
      };
      const plan = await planOf(c, () => change(rehearsing(store)), {
        plan: [`Up to ${maxSites} sites may live on ${name}; those that do stay.`],
      });
      if (plan !== undefined) return c.json(plan, 200);
      const changed = await change(store);
      const pool = (await viewPools()).find((one) => one.name === name);
      if (!changed || pool === undefined) throw commonProblems.make('not-found', { noun: 'pool', name });
      return c.json(pool, 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'put',
      path: '/v1/pools/{name}/limits',
      operationId: 'limitPool',
      tags: ['pools'],
      summary: 'Change what one node of a pool may use; what is not named stays, null takes a limit away',
      request: { query: dryRunQuery, params: nameParam, body: jsonBody(limitsWish) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const wish = c.req.valid('json');
      return beginOrPlan(c, store, (s) => s.transaction((sql) => startPoolLimit(parts, sql, name, wish, whoOf(c))));
    },
  );
  return routes;
}
