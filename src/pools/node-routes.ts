// Nodes over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import {
  type ApiRoutes,
  accepted,
  dryRunQuery,
  fromPageToken,
  json,
  makeRoutes,
  pageOf,
  pageQuery,
  toPage,
  whoOf,
} from '../platform/http.ts';
import { beginOrPlan, planned } from '../platform/plan-change.ts';
import type { PoolParts } from './parts.ts';
import { startReplacement } from './replace-node.ts';
import { listNodes, type NodeRow, readNode } from './store.ts';

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

/** Without what only the pools' own work reads. */
const toNodeView = (node: NodeRow): z.infer<typeof nodeSchema> => nodeSchema.parse(node);

const nameParam = z.object({ name: z.string() });

/** /v1/nodes. */
export function makeNodeRoutes(parts: PoolParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();
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
      request: { query: dryRunQuery, params: nameParam },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      return beginOrPlan(
        c,
        store,
        (s) => s.transaction((sql) => startReplacement(parts, sql, name, whoOf(c))),
        () => ({
          plan: ['The new one serves before the old one gets no more visitors; its requests and runs end first.'],
        }),
      );
    },
  );
  return routes;
}
