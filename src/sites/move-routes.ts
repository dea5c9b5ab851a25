// Where a site lives and what code it has, over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { newCodeSchema, planCode, startCodeBake } from '../images/code-bake.ts';
import { commonProblems } from '../lib/errors.ts';
import {
  type ApiRoutes,
  accepted,
  answerAccepted,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  needsScope,
  planSchema,
  whoOf,
} from '../platform/http.ts';
import { beginOrPlan, planned } from '../platform/plan-change.ts';
import { rehearse } from '../platform/rehearse.ts';
import type { Sql, Store } from '../platform/store.ts';
import { assertDisk } from '../servers/room.ts';
import { startSiteMove } from './move.ts';
import { planMoveAll, startMoveAll } from './move-all.ts';
import type { SiteParts } from './parts.ts';
import { newMoveSchema, planMove } from './plan-move.ts';
import { readSite } from './store.ts';

const nameParam = z.object({ name: z.string() });
/** A container from the app's image, and the image made of it. */
const BAKE_DISK_MB = 2048;

/** /v1/sites/{name}/move and …/code. */
export function makeSiteMoveRoutes(parts: SiteParts): ApiRoutes {
  const { store, images } = parts;
  const routes = makeRoutes();
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/sites/{name}/move',
      operationId: 'moveSite',
      tags: ['sites'],
      summary: 'Move a site to another pool of its app',
      request: { params: nameParam, query: dryRunQuery, body: jsonBody(newMoveSchema) },
      responses: { 202: accepted, 200: json(planSchema, 'With dryRun: what would be done') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const wish = c.req.valid('json');
      const { plan, pauseS, sites } = await planMove(parts, name, wish, c.req.raw.signal);
      const start = (sql: Sql) => startSiteMove(parts, sql, name, wish, whoOf(c));
      if (c.req.valid('query').dryRun) {
        await rehearse(store, start);
        return c.json({ plan, pauseS, sites }, 200);
      }
      return answerAccepted(c, await store.transaction(start, 'read committed'));
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/pools/{name}/move-sites',
      operationId: 'movePoolSites',
      tags: ['pools'],
      summary: 'Move all sites of a pool to another pool of the app, one after another',
      request: { params: nameParam, query: dryRunQuery, body: jsonBody(newMoveSchema) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const wish = c.req.valid('json');
      const begin = (s: Store) =>
        s.transaction((sql) => startMoveAll(parts, sql, name, wish, whoOf(c)), 'read committed');
      return beginOrPlan(c, store, begin, () => planMoveAll(parts, name, wish, c.req.raw.signal));
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/sites/{name}/code',
      operationId: 'bakeSiteCode',
      tags: ['sites'],
      summary: "Bake an image with a site's own code, from a repository or a folder",
      // A path here is read as root.
      middleware: [needsScope('admin')],
      request: { query: dryRunQuery, params: nameParam, body: jsonBody(newCodeSchema) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      await assertDisk(parts.pools.fleet, BAKE_DISK_MB);
      const site = await readSite(store, name);
      if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name });
      const params = await planCode(images, store, site, c.req.valid('json'));
      return beginOrPlan(
        c,
        store,
        (s) => s.transaction((sql) => startCodeBake(images, sql, params, whoOf(c))),
        () => ({ plan: ['No node has the image before it is rolled out.'], sites: [] }),
      );
    },
  );
  return routes;
}
