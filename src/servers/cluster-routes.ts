// The cluster over HTTP: make it, look at it, invite a machine. Joining itself is at the agents' door (api/agents-door.ts).
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import {
  type ApiRoutes,
  accepted,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  needsScope,
  whoOf,
} from '../platform/http.ts';
import { beginOrPlan, planned, planOf } from '../platform/plan-change.ts';
import type { Store } from '../platform/store.ts';
import { makeJoinToken, readMadeCluster } from './join.ts';
import { clusterWishSchema, startClusterMake } from './make-cluster.ts';
import { type RemoveParts, startServerRemove } from './remove.ts';

/** A token that lies about for longer than a day is forgotten somewhere. */
const LONGEST_S = 86_400;

const clusterSchema = z
  .object({
    server: z.string(),
    address: z.string(),
    port: z.int(),
    contentPath: z.string().nullable(),
  })
  .openapi('Cluster');

const renderTime = (durationS: number): string =>
  durationS % 60 === 0 ? `${durationS / 60} minutes` : `${durationS} s`;

/** /v1/cluster and /v1/join-tokens. */
export function makeClusterRoutes(parts: RemoveParts): ApiRoutes {
  const routes = makeRoutes();
  const common = { tags: ['servers'], middleware: [needsScope('admin')] };
  routes.openapi(
    createRoute({
      ...common,
      method: 'get',
      path: '/v1/cluster',
      operationId: 'readCluster',
      summary: 'How the servers reach each other, and the folder that they share',
      responses: { 200: json(clusterSchema, 'The cluster') },
    }),
    async (c) => {
      const { contentId: _, ...cluster } = await readMadeCluster(parts.store);
      return c.json(cluster, 200);
    },
  );
  routes.openapi(
    createRoute({
      ...common,
      method: 'post',
      path: '/v1/cluster',
      operationId: 'makeCluster',
      summary: 'Make the deployment the first server of a cluster',
      request: { query: dryRunQuery, body: jsonBody(clusterWishSchema) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const wish = c.req.valid('json');
      const begin = (store: Store) => startClusterMake({ ...parts, store }, wish, whoOf(c));
      const where = wish.contentPath === undefined ? 'on one server each' : `in ${wish.contentPath}`;
      return beginOrPlan(c, parts.store, begin, () => ({
        plan: [`Others join at ${wish.address}; uploads of new pools lie ${where}.`],
      }));
    },
  );
  routes.openapi(
    createRoute({
      ...common,
      method: 'post',
      path: '/v1/join-tokens',
      operationId: 'createJoinToken',
      summary: 'Make a token with which one machine joins; it is shown in this answer and never again',
      request: {
        query: dryRunQuery,
        body: jsonBody(z.object({ expiresInS: z.int().min(1).max(LONGEST_S).default(3_600) })),
      },
      responses: { 200: planned, 201: json(z.object({ token: z.string(), expiresAt: z.string() }), 'The token') },
    }),
    async (c) => {
      const plan = await planOf(c, () => readMadeCluster(parts.store), {
        plan: [`A token is made with which one machine joins, good for ${renderTime(c.req.valid('json').expiresInS)}.`],
      });
      if (plan !== undefined) return c.json(plan, 200);
      const wish = { by: whoOf(c).by, expiresInMs: c.req.valid('json').expiresInS * 1_000 };
      const { token, expiresAtMs } = await makeJoinToken(parts, wish);
      return c.json({ token, expiresAt: new Date(expiresAtMs).toISOString() }, 201);
    },
  );
  routes.openapi(
    createRoute({
      ...common,
      method: 'delete',
      path: '/v1/servers/{name}',
      operationId: 'removeServer',
      summary: 'Take an empty server out of the cluster; its certificates are revoked',
      request: { query: dryRunQuery, params: z.object({ name: z.string().max(100) }) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const begin = (store: Store) => startServerRemove({ ...parts, store }, name, whoOf(c));
      return beginOrPlan(c, parts.store, begin, () => ({
        plan: [
          'It is empty. Its certificates are revoked, it leaves the cluster of Incus, its addresses are free again.',
        ],
      }));
    },
  );
  return routes;
}
