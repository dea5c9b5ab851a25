// Edges over HTTP: looking only.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { type ApiRoutes, json, makeRoutes, pageOf } from '../platform/http.ts';
import type { Store } from '../platform/store.ts';
import { listEdges } from './store.ts';

const edgeSchema = z
  .object({
    name: z.string(),
    server: z.string().nullable(),
    address: z.string().nullable(),
    state: z.enum(['creating', 'ready', 'unhealthy']),
    reason: z.string(),
    placement: z.string().nullable(),
    listen: z.string(),
    createdAt: z.string(),
  })
  .openapi('Edge');

/** GET /v1/edges. */
export function makeEdgeRoutes(deps: { store: Store }): ApiRoutes {
  const routes = makeRoutes();
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/edges',
      operationId: 'listEdges',
      tags: ['edges'],
      summary: 'List edges',
      responses: { 200: json(pageOf(edgeSchema), 'All edges') },
    }),
    async (c) => c.json({ items: await listEdges(deps.store) }, 200),
  );
  return routes;
}
