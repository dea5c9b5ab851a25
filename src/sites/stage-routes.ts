// Copies of sites on seeds, over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { type ApiRoutes, accepted, dryRunQuery, jsonBody, makeRoutes, whoOf } from '../platform/http.ts';
import { beginOrPlan, planned } from '../platform/plan-change.ts';
import { assertDisk } from '../servers/room.ts';
import { SITE_DISK_MB } from './admit.ts';
import type { SiteParts } from './parts.ts';
import { newStagingSchema, startStaging } from './stage.ts';
import { startUnstaging } from './unstage.ts';

const nameParam = z.object({ name: z.string() });

/** /v1/seeds/{name}/staging. */
export function makeStagingRoutes(parts: SiteParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();
  routes.openapi(
    createRoute({
      method: 'put',
      path: '/v1/seeds/{name}/staging',
      operationId: 'stageOnSeed',
      tags: ['seeds'],
      summary: 'Put a copy of a site on a seed; its mail and hooks are held back',
      request: { query: dryRunQuery, params: nameParam, body: jsonBody(newStagingSchema) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const wish = c.req.valid('json');
      await assertDisk(parts.pools.fleet, SITE_DISK_MB);
      return beginOrPlan(c, store, (s) => s.transaction((sql) => startStaging(parts, sql, name, wish, whoOf(c))));
    },
  );
  routes.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/seeds/{name}/staging',
      operationId: 'unstageSeed',
      tags: ['seeds'],
      summary: 'Take the copy off a seed, with its data; the seed stays',
      request: { query: dryRunQuery, params: nameParam },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      return beginOrPlan(c, store, (s) => s.transaction((sql) => startUnstaging(parts, sql, name, whoOf(c))));
    },
  );
  return routes;
}
