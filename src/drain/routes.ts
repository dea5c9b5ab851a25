// Emptying and updating servers over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import {
  type ApiRoutes,
  accepted,
  answerAccepted,
  dryRunQuery,
  jsonBody,
  makeRoutes,
  needsScope,
  whoOf,
} from '../platform/http.ts';
import { beginOrPlan, planned } from '../platform/plan-change.ts';
import { rehearse } from '../platform/rehearse.ts';
import type { Sql, Store } from '../platform/store.ts';
import { drainWishSchema, startServerDrain } from './drain.ts';
import { planServiceMove, serviceMoveSchema, startServiceMove } from './move-service.ts';
import type { DrainParts } from './parts.ts';
import { planDrain } from './plan.ts';
import { endDraining, findDrain, storeUndrained } from './undrain.ts';
import { planUpdate, startServerUpdate, updateWishSchema } from './update.ts';

const nameParam = z.object({ name: z.string().max(100) });

/** /v1/servers/{name}/drain, …/undrain and /v1/servers/update. */
export function makeDrainRoutes(parts: DrainParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();
  const common = { tags: ['servers'], middleware: [needsScope('admin')] };
  routes.openapi(
    createRoute({
      ...common,
      method: 'post',
      path: '/v1/servers/{name}/drain',
      operationId: 'drainServer',
      summary: 'Empty a server: what it carries goes elsewhere, no request fails, runs of tasks have their time',
      request: { params: nameParam, query: dryRunQuery, body: jsonBody(drainWishSchema) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const wish = c.req.valid('json');
      const { nodes, services, ...plan } = await planDrain(parts, name, wish, c.req.raw.signal);
      const start = (sql: Sql) => startServerDrain(parts, sql, name, { ...wish, nodes, services }, whoOf(c));
      if (c.req.valid('query').dryRun) {
        await rehearse(store, start);
        return c.json(plan, 200);
      }
      return answerAccepted(c, await store.transaction(start));
    },
  );
  routes.openapi(
    createRoute({
      ...common,
      method: 'post',
      path: '/v1/servers/{name}/undrain',
      operationId: 'undrainServer',
      summary: 'Let a server take new things again; an emptying that is under way is cancelled',
      request: { params: nameParam, query: dryRunQuery },
      responses: { 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const underWay = (await findDrain(parts, name)) !== undefined;
      if (c.req.valid('query').dryRun) await rehearse(store, (sql) => storeUndrained(parts, sql, name, whoOf(c)));
      else await endDraining(parts, name, whoOf(c));
      const plan = [
        ...(underWay ? ['The emptying that is under way is cancelled.'] : []),
        `${name} takes new things again. What has left it stays where it is.`,
      ];
      return c.json({ plan, sites: [], pauseS: 0 }, 200);
    },
  );
  routes.openapi(
    createRoute({
      ...common,
      method: 'post',
      path: '/v1/servers/update',
      operationId: 'updateServers',
      summary: 'Update servers one after another: each is emptied, upgraded, rebooted if wanted, checked, used again',
      request: { query: dryRunQuery, body: jsonBody(updateWishSchema) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const wish = c.req.valid('json');
      const { servers, plan, sites, pauseS } = await planUpdate(parts, wish, c.req.raw.signal);
      const start = (sql: Sql) => startServerUpdate(parts, sql, { ...wish, servers }, whoOf(c));
      if (c.req.valid('query').dryRun) {
        await rehearse(store, start);
        return c.json({ plan, sites, pauseS }, 200);
      }
      return answerAccepted(c, await store.transaction(start));
    },
  );
  for (const [noun, path] of [
    ['database', '/v1/databases/{name}/move'],
    ['cache', '/v1/caches/{name}/move'],
  ] as const) {
    routes.openapi(
      createRoute({
        method: 'post',
        path,
        operationId: `move${noun === 'database' ? 'DatabaseServer' : 'CacheServer'}`,
        tags: [`${noun}s`],
        summary: `Move a ${noun} server with its data to another server; visitors of its sites wait for some seconds`,
        request: { params: nameParam, query: dryRunQuery, body: jsonBody(serviceMoveSchema) },
        responses: { 202: accepted, 200: planned },
      }),
      async (c) => {
        const { name } = c.req.valid('param');
        const wish = c.req.valid('json');
        const { params: _, ...plan } = await planServiceMove(parts, store, noun, name, wish);
        const begin = (s: Store) => s.transaction((sql) => startServiceMove(parts, sql, noun, name, wish, whoOf(c)));
        return beginOrPlan(c, store, begin, () => plan);
      },
    );
  }
  return routes;
}
