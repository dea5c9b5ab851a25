// Database servers and cache servers over HTTP: the same resources under two names.
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
  pageOf,
  planSchema,
  whoOf,
} from '../platform/http.ts';
import { beginOrPlan, planned, planOf } from '../platform/plan-change.ts';
import type { Store } from '../platform/store.ts';
import { choosePlacement } from '../servers/place.ts';
import { listServers } from '../servers/store.ts';
import type { ServiceEngine } from './kind.ts';
import type { ServiceNoun } from './noun.ts';
import type { Service, ServiceView } from './service.ts';
import { listServices, storeMaxSites } from './store.ts';

const nameParam = z.object({ name: z.string() });
const serviceName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,30}$/, 'must be a-z, 0-9 and "-", begin with a letter, 31 characters at most')
  // Containers of servers that have moved are called so (homes.ts).
  .refine((name) => !/-m\d+$/.test(name), 'must not end with -m and a number');
const maxSites = z.int().min(1).max(10_000);
const healthSchema = z.looseObject({
  version: z.string(),
  connections: z.object({ used: z.number(), max: z.number() }),
});

/** What differs between the two in the document that describes the API. */
export interface ServiceRouteWords {
  /** `/v1/databases`. */
  path: string;
  /** `databases`. */
  tag: string;
  /** Schema name, `DatabaseServer`. */
  schema: string;
  defaults: { memoryMb: number; maxSites: number };
}

/** Stopping, making anew and starting a server that has little to write. */
const RENEW_S = 10;

/** Where a new one would go. */
async function planPlace(store: Store, noun: ServiceNoun, memoryMb: number): Promise<string[]> {
  const groupOn = new Map<string, number>();
  for (const { server } of await listServices(store, noun))
    if (server !== null) groupOn.set(server, (groupOn.get(server) ?? 0) + 1);
  const { server, reason } = choosePlacement(await listServers(store), { memoryMb, groupOn });
  return [`Its container is made on ${server}: ${reason}.`];
}

/** Lists, shows, creates, changes, renews and removes servers of one kind. */
export function makeServiceRoutes<E extends ServiceEngine>(
  store: Store,
  service: Service<E>,
  words: ServiceRouteWords,
): ApiRoutes {
  const { noun } = service;
  const { path, defaults } = words;
  const tags = [words.tag];
  const routes = makeRoutes();
  const viewSchema = z
    .object({
      name: z.string(),
      instance: z.string(),
      server: z.string().nullable(),
      address: z.string().nullable(),
      role: z.enum(['primary', 'replica']),
      state: z.enum(['creating', 'ready', 'unhealthy', 'deleting']),
      reason: z.string(),
      placement: z.string().nullable(),
      sites: z.number(),
      maxSites: z.number(),
      memoryMb: z.number(),
      image: z.string().nullable(),
      health: healthSchema.nullable(),
      checkedAt: z.string().nullable(),
      stateSince: z.string(),
      createdAt: z.string(),
    })
    .openapi(words.schema);
  const newSchema = z.object({
    name: serviceName.optional(),
    memoryMb: z.int().min(128).max(1_048_576).default(defaults.memoryMb),
    maxSites: maxSites.default(defaults.maxSites),
  });
  const toView = (view: ServiceView): z.infer<typeof viewSchema> => viewSchema.parse(view);

  async function readView(name: string): Promise<z.infer<typeof viewSchema>> {
    const view = await service.read(store, name);
    if (view === undefined) throw commonProblems.make('not-found', { noun, name });
    return toView(view);
  }

  routes.openapi(
    createRoute({
      method: 'get',
      path,
      operationId: `list${words.schema}s`,
      tags,
      summary: `List ${noun} servers`,
      responses: { 200: json(pageOf(viewSchema), `All ${noun} servers`) },
    }),
    async (c) => c.json({ items: (await service.list(store)).map(toView) }, 200),
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: `${path}/{name}`,
      operationId: `read${words.schema}`,
      tags,
      summary: `Read one ${noun} server`,
      request: { params: nameParam },
      responses: { 200: json(viewSchema, `The ${noun} server`) },
    }),
    async (c) => c.json(await readView(c.req.valid('param').name), 200),
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path,
      operationId: `create${words.schema}`,
      tags,
      summary: `Create a ${noun} server`,
      request: { query: dryRunQuery, body: jsonBody(newSchema) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const wish = c.req.valid('json');
      return beginOrPlan(
        c,
        store,
        (s) => s.transaction((sql) => service.startCreate(sql, wish, whoOf(c))),
        async () => ({ plan: await planPlace(store, noun, wish.memoryMb) }),
      );
    },
  );
  routes.openapi(
    createRoute({
      method: 'patch',
      path: `${path}/{name}`,
      operationId: `update${words.schema}`,
      tags,
      summary: `Change how many sites a ${noun} server may have`,
      request: { query: dryRunQuery, params: nameParam, body: jsonBody(z.object({ maxSites })) },
      responses: { 200: json(z.union([viewSchema, planSchema]), `The ${noun} server`) },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const { maxSites: most } = c.req.valid('json');
      const plan = await planOf(c, () => readView(name), {
        plan: [`Up to ${most} sites may live on ${name}; those that do stay.`],
      });
      if (plan !== undefined) return c.json(plan, 200);
      await storeMaxSites(store, noun, name, most);
      return c.json(await readView(name), 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: `${path}/{name}/renew`,
      operationId: `renew${words.schema}`,
      tags,
      summary: `Make a ${noun} server's container anew from the newest image, its data kept`,
      request: { query: dryRunQuery, params: nameParam },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const image = await service.readServiceImage();
      const { sites } = await readView(name);
      return beginOrPlan(
        c,
        store,
        (s) => s.transaction((sql) => service.startRenew(sql, { name, image }, whoOf(c))),
        () => ({ plan: [`It is away for some seconds; ${sites} sites need it. Its data stay.`], pauseS: RENEW_S }),
      );
    },
  );
  routes.openapi(
    createRoute({
      method: 'delete',
      path: `${path}/{name}`,
      operationId: `remove${words.schema}`,
      tags,
      summary: `Remove a ${noun} server that no site lives on, with all its data`,
      request: { params: nameParam, query: dryRunQuery.extend({ deleteBackups: z.stringbool().default(false) }) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { deleteBackups } = c.req.valid('query');
      const wish = { name: c.req.valid('param').name, deleteBackups };
      return beginOrPlan(
        c,
        store,
        (s) => s.transaction((sql) => service.startRemove(sql, wish, whoOf(c))),
        () => ({ plan: ['All its data go. No site lives on it.'] }),
      );
    },
  );
  return routes;
}
