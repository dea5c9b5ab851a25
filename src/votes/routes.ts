// Policies of pools and the history of their votes over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import {
  type ApiRoutes,
  dryRunQuery,
  fromPageToken,
  json,
  jsonBody,
  makeRoutes,
  pageOf,
  pageQuery,
  planSchema,
  toPage,
  whoOf,
} from '../platform/http.ts';
import { planned, planOf, rehearsing } from '../platform/plan-change.ts';
import type { Store } from '../platform/store.ts';
import type { VotesParts } from './parts.ts';
import { policySchema } from './policy.ts';
import { votesProblems } from './problems.ts';
import { listRounds, readPolicy } from './store.ts';
import { dropPolicy, setPaused, setPolicy } from './votes.ts';

const policyView = z
  .object({
    pool: z.string(),
    policy: policySchema,
    pausedBy: z.string().nullable(),
    pausedReason: z.string().nullable(),
    resizedAt: z.string().nullable(),
    decision: z.string().nullable().describe('of the last round'),
    reason: z.string().nullable().describe('why it did or did not resize, by the last round'),
    decidedAt: z.string().nullable(),
  })
  .openapi('PoolPolicy');

const voteSchema = z.object({
  node: z.string(),
  vote: z.enum(['grow', 'shrink', 'none']),
  reason: z.string(),
  values: z.array(z.number().nullable()).describe("in the order of the policy's alerts; null: missing"),
});

const roundSchema = z
  .object({
    at: z.string(),
    wanted: z.number(),
    ready: z.number(),
    booting: z.number(),
    min: z.number(),
    max: z.number(),
    voters: z.number(),
    grow: z.number(),
    shrink: z.number(),
    decision: z.enum(['grow', 'shrink', 'bounds', 'stay', 'blocked']),
    size: z.number().describe('what the pool wants from then on'),
    reason: z.string(),
    foretold: z.number().nullable().describe('what growth ahead of need would have wanted'),
    operation: z.string().nullable(),
    votes: z.array(voteSchema),
  })
  .openapi('VoteRound');

const nameParam = z.object({ name: z.string() });

/** /v1/pools/{name}/policy, /v1/pools/{name}/votes. */
export function makeVotesRoutes(parts: VotesParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();
  const tags = ['votes'];

  async function view(pool: string): Promise<z.infer<typeof policyView>> {
    const row = await readPolicy(store, pool, parts.at());
    if (row === undefined) throw votesProblems.make('no-policy', { pool });
    const { policy, pausedBy, pausedReason, resizedAt, round } = row;
    return {
      ...{ pool, policy, pausedBy, pausedReason, resizedAt },
      ...{ decision: round?.decision ?? null, reason: round?.reason ?? null },
      decidedAt: round === null ? null : new Date(round.atMs).toISOString(),
    };
  }

  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/pools/{name}/policy',
      operationId: 'readPoolPolicy',
      tags,
      summary: "Read a pool's policy and what was decided last",
      request: { params: nameParam },
      responses: { 200: json(policyView, 'The policy') },
    }),
    async (c) => c.json(await view(c.req.valid('param').name), 200),
  );
  routes.openapi(
    createRoute({
      method: 'put',
      path: '/v1/pools/{name}/policy',
      operationId: 'setPoolPolicy',
      tags,
      summary: 'Set how a pool grows and shrinks by itself',
      request: { query: dryRunQuery, params: nameParam, body: jsonBody(policySchema) },
      responses: { 200: json(z.union([policyView, planSchema]), 'The policy') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const change = (s: Store) => setPolicy({ ...parts, store: s }, name, c.req.valid('json'), whoOf(c));
      const plan = await planOf(c, () => change(rehearsing(store)), {
        plan: [`${name} grows and shrinks by itself, by these rules, from the next round of votes on.`],
      });
      if (plan !== undefined) return c.json(plan, 200);
      await change(store);
      return c.json(await view(name), 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/pools/{name}/policy',
      operationId: 'removePoolPolicy',
      tags,
      summary: 'Let a pool keep the size that people give it',
      request: { query: dryRunQuery, params: nameParam },
      responses: { 200: planned, 204: { description: 'Removed' } },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const change = (s: Store) => dropPolicy({ ...parts, store: s }, name, whoOf(c));
      const plan = await planOf(c, () => change(rehearsing(store)), { plan: [`${name} keeps its size from now on.`] });
      if (plan !== undefined) return c.json(plan, 200);
      await change(store);
      return c.body(null, 204);
    },
  );
  for (const [verb, paused, summary] of [
    ['pause', true, 'Hold a pool at its size; votes are cast and kept all the same'],
    ['resume', false, 'Let votes resize a pool again'],
  ] as const) {
    routes.openapi(
      createRoute({
        method: 'post',
        path: `/v1/pools/{name}/policy/${verb}`,
        operationId: `${verb}PoolPolicy`,
        tags,
        summary,
        request: { query: dryRunQuery, params: nameParam },
        responses: { 200: json(z.union([policyView, planSchema]), 'The policy') },
      }),
      async (c) => {
        const { name } = c.req.valid('param');
        const change = (s: Store) => setPaused({ ...parts, store: s }, name, paused, whoOf(c));
        const plan = await planOf(c, () => change(rehearsing(store)), { plan: [`${summary}.`] });
        if (plan !== undefined) return c.json(plan, 200);
        await change(store);
        return c.json(await view(name), 200);
      },
    );
  }
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/pools/{name}/votes',
      operationId: 'listVoteRounds',
      tags,
      summary: 'Rounds of votes with their decisions, newest first',
      request: { params: nameParam, query: pageQuery.omit({ filter: true }) },
      responses: { 200: json(pageOf(roundSchema), 'A page of rounds') },
    }),
    async (c) => {
      const { name: pool } = c.req.valid('param');
      const { pageSize, pageToken } = c.req.valid('query');
      if ((await readPolicy(store, pool, parts.at())) === undefined) throw votesProblems.make('no-policy', { pool });
      const rounds = await listRounds(store, { pool, before: fromPageToken(pageToken), limit: pageSize + 1 });
      const items = rounds.map(({ votes, ...round }) => ({
        ...round,
        votes: votes.map(({ node, vote, reason, alerts }) => ({
          node,
          vote,
          reason,
          values: alerts.map(({ value }) => value),
        })),
      }));
      return c.json(
        toPage(items, pageSize, ({ at }) => at),
        200,
      );
    },
  );
  return routes;
}
