// Controllers over HTTP: looking, inviting another, removing one that is gone. Joining itself is at the agents' door
// (api/agents-door.ts).
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import {
  type ApiRoutes,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  needsScope,
  pageOf,
  planSchema,
  whoOf,
} from '../platform/http.ts';
import { planned, planOf, rehearsing } from '../platform/plan-change.ts';
import { type ControllersParts, makeControllerToken } from './join.ts';
import { controllerProblems } from './problems.ts';
import { deleteController } from './store.ts';
import { type ControllerView, listControllerViews } from './views.ts';

const controllerSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    state: z.enum(['leading', 'standing by', 'silent']),
    reason: z.string(),
    address: z.string().nullable(),
    port: z.int().nullable(),
    version: z.string(),
    startedAt: z.string(),
  })
  .openapi('Controller');

const nameParam = z.object({ name: z.string().max(100) });

/** /v1/controllers and /v1/controller-tokens. */
export function makeControllerRoutes(parts: ControllersParts): ApiRoutes {
  const { store, events } = parts;
  const routes = makeRoutes();
  const common = { tags: ['controllers'] };

  async function readView(name: string): Promise<ControllerView> {
    const view = (await listControllerViews(store)).find((one) => one.name === name || one.id === name);
    if (view === undefined) throw commonProblems.make('not-found', { noun: 'controller', name });
    return view;
  }

  routes.openapi(
    createRoute({
      ...common,
      method: 'get',
      path: '/v1/controllers',
      operationId: 'listControllers',
      summary: 'List controllers: which leads, which stand by',
      responses: { 200: json(pageOf(controllerSchema), 'All controllers') },
    }),
    async (c) => c.json({ items: await listControllerViews(store) }, 200),
  );
  routes.openapi(
    createRoute({
      ...common,
      method: 'get',
      path: '/v1/controllers/{name}',
      operationId: 'readController',
      summary: 'Read one controller, by its server',
      request: { params: nameParam },
      responses: { 200: json(controllerSchema, 'The controller') },
    }),
    async (c) => c.json(await readView(c.req.valid('param').name), 200),
  );
  routes.openapi(
    createRoute({
      ...common,
      method: 'post',
      path: '/v1/controller-tokens',
      operationId: 'createControllerToken',
      summary: 'Make a token with which the controller of one server joins; it is shown in this answer and never again',
      middleware: [needsScope('admin')],
      request: { query: dryRunQuery, body: jsonBody(z.strictObject({ server: z.string().max(100) })) },
      responses: { 200: planned, 201: json(z.object({ token: z.string(), expiresAt: z.string() }), 'The token') },
    }),
    async (c) => {
      const wish = { server: c.req.valid('json').server, by: whoOf(c).by };
      const plan = await planOf(c, () => makeControllerToken({ ...parts, store: rehearsing(store) }, wish), {
        plan: [
          `A token is made with which ${wish.server} gets a controller, which stands by. It gives all secrets away.`,
        ],
      });
      if (plan !== undefined) return c.json(plan, 200);
      const { token, expiresAtMs } = await makeControllerToken(parts, wish);
      return c.json({ token, expiresAt: new Date(expiresAtMs).toISOString() }, 201);
    },
  );
  routes.openapi(
    createRoute({
      ...common,
      method: 'delete',
      path: '/v1/controllers/{name}',
      operationId: 'removeController',
      summary: 'Forget a controller that is gone',
      middleware: [needsScope('admin')],
      request: { params: nameParam, query: dryRunQuery },
      responses: {
        200: json(z.union([controllerSchema, planSchema]), 'The controller as it was; with dryRun: the plan'),
      },
    }),
    async (c) => {
      const view = await readView(c.req.valid('param').name);
      if (view.state === 'leading') throw controllerProblems.make('leads', { name: view.name });
      const plan = await planOf(c, async () => undefined, {
        plan: [`The controller on ${view.name} is forgotten. Its process, if there is one, is not ended.`],
      });
      if (plan !== undefined) return c.json(plan, 200);
      await store.transaction(async (sql) => {
        if (!(await deleteController(sql, view.id))) return;
        const { by, reason = view.reason } = whoOf(c);
        await events.append(sql, { kind: 'controller.removed', subject: `controller:${view.name}`, by, reason });
      });
      return c.json(view, 200);
    },
  );
  return routes;
}
