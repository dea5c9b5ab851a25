// Edges over HTTP: looking, one more, one less, and the address that they share.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import {
  type ApiRoutes,
  accepted,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  needsScope,
  pageOf,
  whoOf,
} from '../platform/http.ts';
import { beginOrPlan, planned } from '../platform/plan-change.ts';
import type { Store } from '../platform/store.ts';
import { type EdgeParts, newEdgeSchema, startEdgeAdd } from './create.ts';
import { startEdgeDelete } from './delete.ts';
import { completeShare, shareWishSchema, startEdgeShare } from './share.ts';
import { type EdgeRow, listEdges, readEdge, readEdgeAddress } from './store.ts';

const edgeSchema = z
  .object({
    name: z.string(),
    server: z.string().nullable(),
    address: z.string().nullable(),
    state: z.enum(['creating', 'ready', 'unhealthy', 'deleting']),
    reason: z.string(),
    placement: z.string().nullable(),
    listen: z.string(),
    /** The address that the edges share, where this one holds it. */
    holds: z.string().nullable(),
    holdsSince: z.string().nullable(),
    createdAt: z.string(),
  })
  .openapi('Edge');

const sharedSchema = z
  .object({ address: z.string(), httpPort: z.int(), httpsPort: z.int(), routerId: z.int() })
  .openapi('SharedAddress');

const toView = ({ wish: _, ...edge }: EdgeRow, shared: string | undefined): z.infer<typeof edgeSchema> => ({
  ...edge,
  holds: edge.holds ? (shared ?? null) : null,
});

const nameParam = z.object({ name: z.string().max(100) });

/** /v1/edges and /v1/edge-address. */
export function makeEdgeRoutes(parts: EdgeParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();
  const common = { tags: ['edges'] };
  const admin = { ...common, middleware: [needsScope('admin')] };
  routes.openapi(
    createRoute({
      ...common,
      method: 'get',
      path: '/v1/edges',
      operationId: 'listEdges',
      summary: 'List edges, and which of them holds the shared address',
      responses: { 200: json(pageOf(edgeSchema), 'All edges') },
    }),
    async (c) => {
      const shared = (await readEdgeAddress(store))?.address;
      return c.json({ items: (await listEdges(store)).map((edge) => toView(edge, shared)) }, 200);
    },
  );
  routes.openapi(
    createRoute({
      ...common,
      method: 'get',
      path: '/v1/edges/{name}',
      operationId: 'readEdge',
      summary: 'Read one edge',
      request: { params: nameParam },
      responses: { 200: json(edgeSchema, 'The edge') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const edge = await readEdge(store, name);
      if (edge === undefined) throw commonProblems.make('not-found', { noun: 'edge', name });
      return c.json(toView(edge, (await readEdgeAddress(store))?.address), 200);
    },
  );
  routes.openapi(
    createRoute({
      ...admin,
      method: 'post',
      path: '/v1/edges',
      operationId: 'createEdge',
      summary: 'Make one more edge, on a server that has none',
      request: { query: dryRunQuery, body: jsonBody(newEdgeSchema) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const begin = (s: Store) => startEdgeAdd({ ...parts, store: s }, c.req.valid('json'), whoOf(c));
      return beginOrPlan(c, store, begin, () => ({ plan: ['It carries all sites, each as the others do.'] }));
    },
  );
  routes.openapi(
    createRoute({
      ...admin,
      method: 'delete',
      path: '/v1/edges/{name}',
      operationId: 'deleteEdge',
      summary: 'Take an edge away, when another one serves',
      request: { params: nameParam, query: dryRunQuery },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const begin = (s: Store) => startEdgeDelete({ ...parts, store: s }, name, whoOf(c));
      return beginOrPlan(c, store, begin, async () => ({ plan: await renderDelete(store, name) }));
    },
  );
  routes.openapi(
    createRoute({
      ...common,
      method: 'get',
      path: '/v1/edge-address',
      operationId: 'readEdgeAddress',
      summary: 'The address that the edges share',
      responses: { 200: json(sharedSchema, 'The address') },
    }),
    async (c) => {
      const shared = await readEdgeAddress(store);
      if (shared === undefined)
        throw commonProblems.make('not-found', { noun: 'shared address', name: 'of the edges' });
      return c.json(shared, 200);
    },
  );
  routes.openapi(
    createRoute({
      ...admin,
      method: 'put',
      path: '/v1/edge-address',
      operationId: 'shareEdgeAddress',
      summary: 'Give the edges an address that they share',
      request: { query: dryRunQuery, body: jsonBody(shareWishSchema) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const wish = c.req.valid('json');
      const begin = (s: Store) => startEdgeShare({ ...parts, store: s }, wish, whoOf(c));
      return beginOrPlan(c, store, begin, async () => {
        const { address, httpPort, httpsPort } = await completeShare(store, wish);
        const ports = `${httpPort} and ${httpsPort}`;
        return {
          plan: [`One of the edges answers at ${address}, ports ${ports}, and another one when that one does not.`],
        };
      });
    },
  );
  routes.openapi(
    createRoute({
      ...admin,
      method: 'delete',
      path: '/v1/edge-address',
      operationId: 'unshareEdgeAddress',
      summary: 'Take the shared address away',
      request: { query: dryRunQuery },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const begin = (s: Store) => startEdgeShare({ ...parts, store: s }, null, whoOf(c));
      return beginOrPlan(c, store, begin, async () => {
        const shared = await readEdgeAddress(store);
        return shared === undefined ? {} : { plan: [`No visitor is answered at ${shared.address} any more.`] };
      });
    },
  );
  return routes;
}

/** Who answers then. */
async function renderDelete(store: Store, name: string): Promise<string[]> {
  const [edge, shared] = [await readEdge(store, name), await readEdgeAddress(store)];
  const passed =
    edge?.holds === true && shared !== undefined ? [`${shared.address} is passed on to another one first.`] : [];
  return [...passed, `Who asks it at ${edge?.listen} of ${edge?.server ?? 'its server'} is not answered any more.`];
}
