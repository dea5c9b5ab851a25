// Waves over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import {
  type ApiRoutes,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  pageOf,
  planSchema,
  whoOf,
} from '../platform/http.ts';
import { planOf, rehearsing } from '../platform/plan-change.ts';
import type { Store } from '../platform/store.ts';
import { assertDisk } from '../servers/room.ts';
import { SITE_DISK_MB } from '../sites/admit.ts';
import type { WaveParts } from './parts.ts';
import { abortSchema, abortWave, newWaveSchema, pauseWave, planWave, resumeWave, startWave } from './start.ts';
import { listWaveSites, listWaves, readWave, type WaveRow, type WaveSiteRow } from './store.ts';

const countsSchema = z.object({
  sites: z.number(),
  upgraded: z.number(),
  failed: z.number().describe('Brought back as they were'),
  waiting: z.number(),
});

const waveSchema = countsSchema
  .extend({
    id: z.string(),
    pool: z.string(),
    app: z.string(),
    fromImage: z.number(),
    toImage: z.number(),
    state: z.enum(['running', 'stopped', 'done', 'aborted']),
    reason: z.string().describe('What it does now, or why it is what it is'),
    stopAt: z.number().describe('The share of the sites so far that may fail'),
    checkPages: z.array(z.string()),
    atOnce: z.number(),
    whole: z.boolean(),
    pausedBy: z.string().nullable(),
    endsAs: z.enum(['stopped', 'aborted']).nullable(),
    goesBack: z.boolean(),
    longestPauseMs: z.number().nullable().describe('The longest that visitors of a site were held'),
    startedBy: z.string(),
    startedAt: z.string(),
    endedAt: z.string().nullable(),
  })
  .openapi('Wave');

const siteSchema = z
  .object({
    site: z.string(),
    name: z.string(),
    batch: z.number(),
    state: z.enum(['waiting', 'upgrading', 'upgraded', 'failed', 'skipped', 'returning', 'returned', 'stuck']),
    reason: z.string(),
    operation: z.string().nullable(),
    snapshot: z.number().nullable(),
    pauseMs: z.number().nullable().describe('How long visitors were held'),
    endedAt: z.string().nullable(),
  })
  .openapi('WaveSite');

const batchSchema = countsSchema.extend({ title: z.string() });
const wholeSchema = waveSchema
  .extend({ batches: z.array(batchSchema), items: z.array(siteSchema).describe('Its sites, in their order') })
  .openapi('WaveWithSites');

const idParam = z.object({ id: z.string() });

const count = (rows: readonly WaveSiteRow[], ...states: WaveSiteRow['state'][]): number =>
  rows.filter(({ state }) => states.includes(state)).length;

const toCounts = (rows: readonly WaveSiteRow[]): z.infer<typeof countsSchema> => ({
  sites: rows.length,
  upgraded: count(rows, 'upgraded'),
  failed: count(rows, 'failed', 'stuck'),
  waiting: count(rows, 'waiting', 'upgrading'),
});

function toView(wave: WaveRow, rows: readonly WaveSiteRow[]): z.infer<typeof waveSchema> {
  const { fromGeneration: _f, toGeneration: _t, batches: _b, ...rest } = wave;
  const pauses = rows.flatMap(({ pauseMs }) => pauseMs ?? []);
  return { ...rest, ...toCounts(rows), longestPauseMs: pauses.length === 0 ? null : Math.max(...pauses) };
}

/** /v1/waves. */
export function makeWaveRoutes(parts: WaveParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();
  const view = async (wave: WaveRow) => toView(wave, await listWaveSites(store, wave.id));

  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/waves',
      operationId: 'listWaves',
      tags: ['waves'],
      summary: 'List waves, the newest first',
      request: { query: z.object({ pool: z.string().optional() }) },
      responses: { 200: json(pageOf(waveSchema), 'Waves') },
    }),
    async (c) => {
      const { pool } = c.req.valid('query');
      return c.json({ items: await Promise.all((await listWaves(store, { pool })).map(view)) }, 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/waves/{id}',
      operationId: 'readWave',
      tags: ['waves'],
      summary: 'Read one wave with its batches and sites',
      request: { params: idParam },
      responses: { 200: json(wholeSchema, 'The wave') },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const wave = await readWave(store, id);
      if (wave === undefined) throw commonProblems.make('not-found', { noun: 'wave', name: id });
      const rows = await listWaveSites(store, id);
      const batches = wave.batches.map((title, batch) => ({
        title,
        ...toCounts(rows.filter((row) => row.batch === batch)),
      }));
      return c.json({ ...toView(wave, rows), batches, items: rows.map((row) => siteSchema.parse(row)) }, 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/waves',
      operationId: 'createWave',
      tags: ['waves'],
      summary: 'Bring the sites of a pool to another image, one after the other, each with a way back',
      request: { query: dryRunQuery, body: jsonBody(newWaveSchema) },
      responses: { 201: json(waveSchema, 'The wave'), 200: json(planSchema, 'With dryRun: what would be done') },
    }),
    async (c) => {
      const wish = c.req.valid('json');
      const plan = await planWave(parts, store, wish);
      // Each site under way is kept twice.
      await assertDisk(parts.pools.fleet, SITE_DISK_MB * Math.min(wish.atOnce, plan.sites.length));
      await parts.pools.assertImage(plan.wave.app, plan.wave.toImage, c.req.raw.signal);
      if (c.req.valid('query').dryRun)
        return c.json({ plan: plan.sentences, sites: plan.sites.map(({ name }) => name), pauseS: 0 }, 200);
      const wave = await store.transaction((sql) => startWave(parts, sql, wish, whoOf(c)));
      parts.pools.wakeHeal();
      parts.wake();
      return c.json(await view(wave), 201);
    },
  );
  for (const [verb, summary, work] of [
    ['pause', 'Hold a wave before its next site', pauseWave],
    ['resume', 'Let a wave go on; sites that were brought back are tried again', resumeWave],
  ] as const) {
    routes.openapi(
      createRoute({
        method: 'post',
        path: `/v1/waves/{id}/${verb}`,
        operationId: `${verb}Wave`,
        tags: ['waves'],
        summary,
        request: { query: dryRunQuery, params: idParam },
        responses: { 200: json(z.union([waveSchema, planSchema]), 'The wave') },
      }),
      async (c) => {
        const { id } = c.req.valid('param');
        const change = (s: Store) => work({ ...parts, store: s, wake: () => undefined }, id, whoOf(c));
        const plan = await planOf(c, () => change(rehearsing(store)), { plan: [`${summary}.`] });
        if (plan !== undefined) return c.json(plan, 200);
        return c.json(await view(await work(parts, id, whoOf(c))), 200);
      },
    );
  }
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/waves/{id}/abort',
      operationId: 'abortWave',
      tags: ['waves'],
      summary: 'End a wave where it is, or bring its upgraded sites back',
      request: { query: dryRunQuery, params: idParam, body: jsonBody(abortSchema) },
      responses: { 200: json(z.union([waveSchema, planSchema]), 'The wave') },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const wish = c.req.valid('json');
      const rehearsed = { ...parts, store: rehearsing(store), wake: () => undefined };
      const plan = await planOf(c, () => abortWave(rehearsed, id, wish, whoOf(c)), {
        plan: ['No further site is begun; those under way end, or go back.'],
      });
      if (plan !== undefined) return c.json(plan, 200);
      return c.json(await view(await abortWave(parts, id, wish, whoOf(c))), 200);
    },
  );
  return routes;
}
