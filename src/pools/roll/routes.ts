// Rolls and the logs of failed nodes over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { commonProblems } from '../../lib/errors.ts';
import {
  type ApiRoutes,
  accepted,
  answerAccepted,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  needsScope,
  pageOf,
  planSchema,
  whoOf,
} from '../../platform/http.ts';
import { planned, planOf, rehearsing } from '../../platform/plan-change.ts';
import type { Store } from '../../platform/store.ts';
import { assertDisk } from '../../servers/room.ts';
import type { PoolParts } from '../parts.ts';
import { newRollSchema, planRoll, readRollUnderWay, setPaused, startRoll } from './start.ts';
import { listNodeLogs, listRolls, readNodeLog, readRoll } from './store.ts';

const rollSchema = z
  .object({
    id: z.string().describe('Also of its operation'),
    pool: z.string(),
    app: z.string(),
    fromImage: z.number(),
    toImage: z.number(),
    strategy: z.enum(['canary', 'rolling', 'additional-batch', 'immutable']),
    batch: z.number(),
    bakeS: z.number(),
    state: z.enum(['running', 'done', 'returned']),
    reason: z.string().describe('What it does now, or why it returned'),
    pausedBy: z.string().nullable(),
    startedAt: z.string(),
    endedAt: z.string().nullable(),
  })
  .openapi('Roll');

const logSchema = z
  .object({ node: z.string(), pool: z.string(), image: z.string(), why: z.string(), at: z.string() })
  .openapi('NodeLogSummary');

const nameParam = z.object({ name: z.string() });
/** New nodes share their image's blocks; this is for their logs and caches. */
const ROLL_DISK_MB = 512;

/** /v1/rolls, /v1/pools/{name}/roll… and /v1/node-logs. */
export function makeRollRoutes(parts: PoolParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/rolls',
      operationId: 'listRolls',
      tags: ['pools'],
      summary: 'List rolls, the newest first',
      request: { query: z.object({ pool: z.string().optional() }) },
      responses: { 200: json(pageOf(rollSchema), 'Rolls') },
    }),
    async (c) => c.json({ items: await listRolls(store, c.req.valid('query').pool) }, 200),
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/rolls/{id}',
      operationId: 'readRoll',
      tags: ['pools'],
      summary: 'Read one roll',
      request: { params: z.object({ id: z.string() }) },
      responses: { 200: json(rollSchema, 'The roll') },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const roll = await readRoll(store, id);
      if (roll === undefined) throw commonProblems.make('not-found', { noun: 'roll', name: id });
      return c.json(roll, 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/pools/{name}/roll',
      operationId: 'rollPool',
      tags: ['pools'],
      summary: 'Bring the nodes of a pool to another image',
      request: { params: nameParam, query: dryRunQuery, body: jsonBody(newRollSchema) },
      responses: { 202: accepted, 200: json(planSchema, 'With dryRun: what would be done') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const wish = c.req.valid('json');
      await assertDisk(parts.fleet, ROLL_DISK_MB);
      const { params, sentences } = await planRoll(parts, store, name, wish);
      await parts.assertImage(params.app, params.to, c.req.raw.signal);
      if (c.req.valid('query').dryRun) return c.json({ plan: sentences, sites: [], pauseS: 0 }, 200);
      return answerAccepted(c, await store.transaction((sql) => startRoll(parts, sql, name, wish, whoOf(c))));
    },
  );
  for (const [verb, summary] of [
    ['pause', 'Hold a roll before its next batch; its gates are watched meanwhile'],
    ['resume', 'Let a paused roll go on'],
  ] as const) {
    routes.openapi(
      createRoute({
        method: 'post',
        path: `/v1/pools/{name}/roll/${verb}`,
        operationId: `${verb}Roll`,
        tags: ['pools'],
        summary,
        request: { query: dryRunQuery, params: nameParam },
        responses: { 200: json(z.union([rollSchema, planSchema]), 'The roll') },
      }),
      async (c) => {
        const { name } = c.req.valid('param');
        const change = (s: Store) => setPaused({ ...parts, store: s }, name, verb === 'pause', whoOf(c));
        const words =
          verb === 'pause' ? 'No batch begins until it is resumed; its gates are watched.' : 'Its next batch begins.';
        const plan = await planOf(c, () => change(rehearsing(store)), { plan: [words] });
        return plan === undefined ? c.json(await change(store), 200) : c.json(plan, 200);
      },
    );
  }
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/pools/{name}/roll/abort',
      operationId: 'abortRoll',
      tags: ['pools'],
      summary: 'End a roll and bring the pool back to its old image',
      request: { query: dryRunQuery, params: nameParam },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { id } = await readRollUnderWay(store, c.req.valid('param').name);
      const plan = await planOf(c, () => parts.operations.read(id), {
        plan: [
          'The roll ends, and its new nodes give way to nodes of the old image: those first, where too few serve.',
        ],
      });
      if (plan !== undefined) return c.json(plan, 200);
      await parts.operations.cancel(id, whoOf(c).by);
      return answerAccepted(c, await parts.operations.read(id));
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/node-logs',
      operationId: 'listNodeLogs',
      tags: ['nodes'],
      summary: 'List the nodes that failed and whose logs are kept',
      request: { query: z.object({ pool: z.string().optional() }) },
      responses: { 200: json(pageOf(logSchema), 'Newest first') },
    }),
    async (c) => c.json({ items: await listNodeLogs(store, c.req.valid('query').pool) }, 200),
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/node-logs/{name}',
      operationId: 'readNodeLog',
      tags: ['nodes'],
      summary: 'Read the kept log of a node that failed',
      // What programs wrote may say more than a reader should know.
      middleware: [needsScope('operate')],
      request: { params: nameParam },
      responses: { 200: json(logSchema.extend({ log: z.string() }).openapi('NodeLog'), 'The log') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const log = await readNodeLog(store, name);
      if (log === undefined) throw commonProblems.make('not-found', { noun: 'kept log of a node', name });
      return c.json(log, 200);
    },
  );
  return routes;
}
