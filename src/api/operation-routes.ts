// Operations over HTTP: list, show, cancel, and what a person does about a fatal one. Apart from the rooms, which
// only start operations.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import {
  type ApiRoutes,
  dryRunQuery,
  json,
  makeRoutes,
  pageOf,
  pageQuery,
  parseFilter,
  planSchema,
  whoOf,
} from '../platform/http.ts';
import { httpProblems } from '../platform/http-problems.ts';
import { endStates, type Operation, type OperationState, type Operations } from '../platform/operations/operation.ts';
import { operationProblems } from '../platform/operations/problems.ts';
import { planOf } from '../platform/plan-change.ts';
import { problemSchema } from './problem-response.ts';

/** The refusals of the change itself, for a dry run. */
function assertMay(verb: 'cancel' | 'resume' | 'release', { id, state }: Operation): void {
  if (verb === 'cancel' && endStates.includes(state)) throw operationProblems.make('ended', { id, state });
  if (verb !== 'cancel' && state !== 'fatal') throw operationProblems.make('not-fatal', { id, state });
}

const storedProblemSchema = problemSchema.omit({ instance: true, errors: true }).openapi('StoredProblem');
const stateSchema = z.enum([
  'pending',
  'running',
  'succeeded',
  'recovering',
  'recovered',
  'failed',
  'cancelled',
  'fatal',
]) satisfies z.ZodType<OperationState>;

const operationSchema = z
  .object({
    id: z.string(),
    kind: z.string(),
    title: z.string(),
    state: stateSchema,
    params: z.unknown(),
    locks: z.array(z.string()),
    by: z.string(),
    reason: z.string().nullable(),
    waiting: z.object({ step: z.string(), problem: storedProblemSchema, since: z.string() }).nullable(),
    problem: storedProblemSchema.nullable(),
    cancelledBy: z.string().nullable(),
    createdAt: z.string(),
    startedAt: z.string().nullable(),
    endedAt: z.string().nullable(),
    durationMs: z.number().nullable(),
  })
  .openapi('Operation');

const stepSchema = z.object({
  name: z.string(),
  state: z.enum(['pending', 'running', 'done', 'failed', 'undoing', 'undone']),
  attempts: z.number().int(),
  undoAttempts: z.number().int(),
  output: z.unknown(),
  lines: z.array(z.string()),
  problem: storedProblemSchema.nullable(),
  startedAt: z.string().nullable(),
  endedAt: z.string().nullable(),
  durationMs: z.number().nullable(),
});

const operationViewSchema = operationSchema
  .extend({
    steps: z.array(stepSchema),
    /** Operations that this one started, oldest first; they are `by` `operation:ID`. */
    children: z.array(operationSchema),
  })
  .openapi('OperationView');

/** Bound of the search for an operation's children: the newest operations that are looked at. */
const CHILD_SEARCH_LIMIT = 500;

async function listChildren(operations: Operations, id: string): Promise<Operation[]> {
  const { items } = await operations.list({ limit: CHILD_SEARCH_LIMIT });
  return items.filter((operation) => operation.by === `operation:${id}`).reverse();
}

/** `/v1/operations` and what is below it. */
export function makeOperationRoutes(operations: Operations): ApiRoutes {
  const routes = makeRoutes();
  const params = z.object({ id: z.string().min(1).max(100) });
  const tags = ['operations'];

  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/operations',
      operationId: 'listOperations',
      tags,
      summary: 'List operations, newest first; filter fields: state, kind, lock',
      request: { query: pageQuery },
      responses: { 200: json(pageOf(operationSchema), 'A page of operations') },
    }),
    async (c) => {
      const { pageSize, pageToken, filter } = c.req.valid('query');
      const query: Parameters<Operations['list']>[0] = { limit: pageSize };
      if (pageToken !== undefined) query.pageToken = pageToken;
      const states: OperationState[] = [];
      for (const { field, is, value } of parseFilter(filter, ['state', 'kind', 'lock'])) {
        const term = `${field}${is ? '=' : '!='}${value}`;
        const state = stateSchema.safeParse(value);
        if (!is || (field === 'state' && !state.success)) {
          throw httpProblems.make('bad-filter', {
            term,
            allowed: [`state=${stateSchema.options.join('|')}`, 'kind=', 'lock='],
          });
        }
        if (state.success && field === 'state') states.push(state.data);
        else if (field === 'kind') query.kind = value;
        else query.lock = value;
      }
      if (states.length > 0) query.states = states;
      const { items, nextPageToken } = await operations.list(query);
      return c.json(nextPageToken === null ? { items } : { items, nextPageToken }, 200);
    },
  );

  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/operations/{id}',
      operationId: 'showOperation',
      tags,
      summary: 'One operation with its steps and the operations it started',
      request: { params },
      responses: { 200: json(operationViewSchema, 'The operation') },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const view = await operations.read(id);
      return c.json({ ...view, children: await listChildren(operations, id) }, 200);
    },
  );

  for (const [verb, summary] of [
    ['cancel', 'Ask it to stop and undo what it did'],
    ['resume', 'Try the undo of a fatal operation again, after the cause was removed'],
    ['release', 'Drop the locks of a fatal operation, after cleaning up by hand'],
  ] as const) {
    routes.openapi(
      createRoute({
        method: 'post',
        path: `/v1/operations/{id}/${verb}`,
        operationId: `${verb}Operation`,
        tags,
        summary,
        request: { query: dryRunQuery, params },
        responses: { 200: json(z.union([operationViewSchema, planSchema]), 'The operation as it is then') },
      }),
      async (c) => {
        const { id } = c.req.valid('param');
        const plan = await planOf(c, async () => assertMay(verb, await operations.read(id)), { plan: [`${summary}.`] });
        if (plan !== undefined) return c.json(plan, 200);
        await operations[verb](id, whoOf(c).by);
        const view = await operations.read(id);
        return c.json({ ...view, children: await listChildren(operations, id) }, 200);
      },
    );
  }
  return routes;
}
