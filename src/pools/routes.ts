// Pools and nodes over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import {
  type ApiRoutes,
  accepted,
  answerAccepted,
  fromPageToken,
  json,
  jsonBody,
  makeRoutes,
  pageOf,
  pageQuery,
  toPage,
  whoOf,
} from '../platform/http.ts';
import { assertDisk } from '../servers/room.ts';
import { newPoolSchema, startPoolCreate } from './create.ts';
import { startPoolDelete } from './delete.ts';
import type { PoolParts } from './parts.ts';
import { startReplacement } from './replace-node.ts';
import { startPoolScale } from './scale.ts';
import { listNodes, listPools, type NodeRow, readNode, storePoolMaxSites } from './store.ts';

const poolSchema = z
  .object({
    name: z.string(),
    app: z.string(),
    kind: z.enum(['shared', 'dedicated']),
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
    state: z.enum(['creating', 'ready', 'deleting']),
    createdAt: z.string(),
  })
  .openapi('Pool');

const nodeSchema = z
  .object({
    name: z.string(),
    pool: z.string(),
    server: z.string().nullable(),
    address: z.string().nullable(),
    imageNumber: z.number(),
    state: z.enum(['booting', 'ready', 'draining', 'unhealthy', 'lost']),
    reason: z.string(),
    placement: z.string().nullable(),
    stateSince: z.string(),
    createdAt: z.string(),
  })
  .openapi('Node');

/** Nodes share their image's blocks; this is for their logs and the first uploads. */
const POOL_DISK_MB = 512;

/** Without what only the pools' own work reads. */
const toNodeView = (node: NodeRow): z.infer<typeof nodeSchema> => nodeSchema.parse(node);

const nameParam = z.object({ name: z.string() });

/** /v1/pools and /v1/nodes. */
export function makePoolRoutes(parts: PoolParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();

  async function viewPools(): Promise<z.infer<typeof poolSchema>[]> {
    const nodes = await listNodes(store);
    return Promise.all(
      (await listPools(store)).map(async (pool) => ({
        ...pool,
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
      request: { body: jsonBody(newPoolSchema) },
      responses: { 202: accepted },
    }),
    async (c) => {
      const wish = c.req.valid('json');
      await assertDisk(parts.fleet, POOL_DISK_MB);
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
      request: { params: nameParam, body: jsonBody(z.object({ size: z.int().min(1).max(100) })) },
      responses: { 202: accepted },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const { size } = c.req.valid('json');
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
        query: z.object({ deleteBackups: z.enum(['true', 'false']).default('false') }),
      },
      responses: { 202: accepted },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const wish = { name, deleteBackups: c.req.valid('query').deleteBackups === 'true' };
      const operation = await store.transaction((sql) => startPoolDelete(parts, sql, wish, whoOf(c)), 'read committed');
      return answerAccepted(c, operation);
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/nodes',
      operationId: 'listNodes',
      tags: ['nodes'],
      summary: 'List nodes',
      request: { query: pageQuery.extend({ pool: z.string().optional() }) },
      responses: { 200: json(pageOf(nodeSchema), 'A page of nodes') },
    }),
    async (c) => {
      const { pool, pageSize, pageToken } = c.req.valid('query');
      const after = fromPageToken(pageToken) ?? '';
      const nodes = (await listNodes(store, pool === undefined ? {} : { pool }))
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .filter((node) => node.name > after)
        .map(toNodeView);
      return c.json(
        toPage(nodes, pageSize, (node) => node.name),
        200,
      );
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/nodes/{name}',
      operationId: 'readNode',
      tags: ['nodes'],
      summary: 'Read one node',
      request: { params: nameParam },
      responses: { 200: json(nodeSchema, 'The node') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const node = await readNode(store, name);
      if (node === undefined) throw commonProblems.make('not-found', { noun: 'node', name });
      return c.json(toNodeView(node), 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/nodes/{name}/replace',
      operationId: 'replaceNode',
      tags: ['nodes'],
      summary: 'Make another node in the place of this one, which is drained and removed then',
      request: { params: nameParam },
      responses: { 202: accepted },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const operation = await store.transaction((sql) => startReplacement(parts, sql, name, whoOf(c)));
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
      request: { params: nameParam, body: jsonBody(newPoolSchema.pick({ maxSites: true }).required()) },
      responses: { 200: json(poolSchema, 'The pool') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const { maxSites } = c.req.valid('json');
      const changed = await storePoolMaxSites(store, name, maxSites);
      const pool = (await viewPools()).find((one) => one.name === name);
      if (!changed || pool === undefined) throw commonProblems.make('not-found', { noun: 'pool', name });
      return c.json(pool, 200);
    },
  );
  return routes;
}
