// The servers over HTTP: looking, which of them fail together, and that one is gone. They come by joining (cluster-routes.ts).
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
  planSchema,
  whoOf,
} from '../platform/http.ts';
import { beginOrPlan, planned, planOf, rehearsing } from '../platform/plan-change.ts';
import type { Sql, Store } from '../platform/store.ts';
import { loadSchema } from '../protocol/contract.ts';
import { type FenceParts, planServerFence, startServerFence } from './fence.ts';
import { listFlaws } from './flaws.ts';
import { listServers, readServer, type ServerRow, storeDomain } from './store.ts';

const serverSchema = z
  .object({
    name: z.string(),
    state: z.enum(['joining', 'ready', 'draining', 'lost', 'fenced', 'back']),
    reason: z.string(),
    address: z.string(),
    version: z.string(),
    domain: z.string(),
    /** Its agent is heard, and its Incus answers nobody: nothing new is placed there. */
    isEngineSilent: z.boolean(),
    /** Of a fenced one: its fence stands at every database and cache, and what can be is made anew. */
    isFenceUp: z.boolean(),
    /** Of a fenced one: what cannot be made anew elsewhere, with the reason. */
    left: z.array(z.string()),
    silentMs: z.number().optional(),
    load: loadSchema.optional(),
  })
  .openapi('Server');

function toView(server: ServerRow): z.infer<typeof serverSchema> {
  const { silentMs, load, clockAheadMs: _, alive: __, ...row } = server;
  // What an agent told before it fell silent may be otherwise now.
  const flaws = row.state === 'ready' || row.state === 'draining' ? listFlaws(server) : [];
  return {
    ...row,
    reason: [row.reason, ...flaws].join('; '),
    ...(silentMs === undefined ? {} : { silentMs: Math.round(silentMs) }),
    ...(load === undefined ? {} : { load }),
  };
}

/** GET /v1/servers and /v1/servers/{name}. */
export function makeServerRoutes(deps: FenceParts): ApiRoutes {
  const routes = makeRoutes();
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/servers',
      operationId: 'listServers',
      tags: ['servers'],
      summary: 'List servers with their load',
      responses: { 200: json(pageOf(serverSchema), 'All servers') },
    }),
    async (c) => c.json({ items: (await listServers(deps.store)).map(toView) }, 200),
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/servers/{name}',
      operationId: 'readServer',
      tags: ['servers'],
      summary: 'Read one server',
      request: { params: z.object({ name: z.string() }) },
      responses: { 200: json(serverSchema, 'The server') },
    }),
    async (c) => {
      return c.json(await readView(deps.store, c.req.valid('param').name), 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'patch',
      path: '/v1/servers/{name}',
      operationId: 'changeServer',
      tags: ['servers'],
      summary: 'Say which servers fail together: a rack, a zone',
      middleware: [needsScope('admin')],
      request: {
        query: dryRunQuery,
        params: z.object({ name: z.string() }),
        body: jsonBody(
          z.strictObject({
            domain: z
              .string()
              .regex(/^[a-z0-9][a-z0-9-]{0,38}$/)
              .nullable(),
          }),
        ),
      },
      responses: { 200: json(z.union([serverSchema, planSchema]), 'The server as it is then') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const { domain } = c.req.valid('json');
      const change = async (sql: Sql): Promise<void> => {
        if (await storeDomain(sql, name, domain)) return;
        throw commonProblems.make('not-found', { noun: 'server', name });
      };
      const plan = await planOf(c, () => change(rehearsing(deps.store)), {
        plan: [
          `${name} fails ${domain === null ? 'alone' : `together with all of ${domain}`}; new nodes are spread by that, none moves now.`,
        ],
      });
      if (plan !== undefined) return c.json(plan, 200);
      await change(deps.store);
      return c.json(await readView(deps.store, name), 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/servers/{name}/fence',
      operationId: 'fenceServer',
      tags: ['servers'],
      summary:
        'Say that a lost server is gone: it is kept from databases and edges, and its nodes are made anew elsewhere',
      middleware: [needsScope('admin')],
      request: { query: dryRunQuery, params: z.object({ name: z.string().max(100) }) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      return beginOrPlan(
        c,
        deps.store,
        (store) => startServerFence({ ...deps, store }, name, whoOf(c)),
        () => planServerFence(deps, name),
      );
    },
  );
  return routes;
}

async function readView(store: Store, name: string): Promise<z.infer<typeof serverSchema>> {
  const server = await readServer(store, name);
  if (server === undefined) throw commonProblems.make('not-found', { noun: 'server', name });
  return toView(server);
}
