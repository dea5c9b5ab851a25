// The sequencer as a whole over HTTP: its state, alerts, and the sites' shares. Apart from the single tasks and runs (routes.ts).
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
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
import { planOf, rehearsing } from '../platform/plan-change.ts';
import type { Sql } from '../platform/store.ts';
import { readSite } from '../sites/store.ts';
import { listAlerts } from './alerts.ts';
import { listSiteShares, readFleetState, readSiteShare, storeSiteShare } from './fleet-state.ts';
import { pressureOf } from './pick-server.ts';
import { readCounts } from './run-store.ts';
import type { Sequencer } from './sequencer.ts';

const stateSchema = z
  .object({
    brownout: z.object({ level: z.number(), reason: z.string(), since: z.string() }),
    runs: z.object({ queued: z.number(), open: z.number(), leased: z.number(), running: z.number() }),
    staleEnds: z.number().describe('Ends that came with an epoch no longer theirs, and changed nothing'),
    servers: z.array(
      z.object({
        server: z.string(),
        freeSlots: z.number(),
        slots: z.number(),
        pressure: z.number(),
        beatAgeMs: z.number(),
      }),
    ),
    attention: z.number().describe('Tasks that need attention'),
  })
  .openapi('SequencerState');

const alertSchema = z
  .object({
    id: z.number(),
    cause: z.string().describe('`task:ID` (needs attention), `overdue:ID`, `brownout`'),
    subject: z.string(),
    sentence: z.string(),
    raisedAt: z.string(),
    overAt: z.string().nullable(),
    toldBy: z.array(z.string()).describe('Ways by which people were told: webhook, mail'),
  })
  .openapi('Alert');

const shareSchema = z
  .object({
    site: z.string(),
    weight: z.number().describe('One with 2 gets twice what one with 1 gets, when both are busy'),
    mostRuns: z.number().nullable().describe('How many of its runs may be open at once; null: as many as any site'),
    open: z.number(),
    waiting: z.number(),
  })
  .openapi('SiteShare');
const shareChange = z.strictObject({
  weight: z.number().min(0.1).max(100).optional(),
  mostRuns: z.int().min(1).max(1000).nullable().optional(),
});
const siteParam = z.object({ site: z.string() });

/** /v1/sequencer, /v1/alerts and /v1/shares. */
export function makeFleetRoutes({ parts, ledger }: Sequencer): ApiRoutes {
  const { store, events } = parts;
  const routes = makeRoutes();
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/sequencer',
      operationId: 'readSequencer',
      tags: ['runs'],
      summary: 'Brownout, queue and servers as the sequencer sees them',
      responses: { 200: json(stateSchema, 'Its state') },
    }),
    async (c) => {
      const { level, reason, since, staleEnds, attention } = await readFleetState(store);
      const ages = new Map(ledger.ages().map((one) => [one.server, one.ageMs]));
      const servers = ledger.fresh(Number.POSITIVE_INFINITY).map((one) => ({
        ...{ server: one.server, freeSlots: Math.max(0, one.free), slots: one.slots, pressure: pressureOf(one) },
        beatAgeMs: Math.round(ages.get(one.server) ?? 0),
      }));
      return c.json(
        { brownout: { level, reason, since }, runs: await readCounts(store), staleEnds, servers, attention },
        200,
      );
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/alerts',
      operationId: 'listAlerts',
      tags: ['runs'],
      summary: 'Alerts, the newest first; `open=true` for those that are not over',
      request: { query: pageQuery.extend({ open: z.enum(['true', 'false']).default('false') }) },
      responses: { 200: json(pageOf(alertSchema), 'A page of alerts') },
    }),
    async (c) => {
      const { pageSize, pageToken, open } = c.req.valid('query');
      const token = fromPageToken(pageToken);
      const page = { before: token === undefined ? null : Number(token), limit: pageSize + 1, open: open === 'true' };
      return c.json(
        toPage(await listAlerts(store, page), pageSize, (alert) => String(alert.id)),
        200,
      );
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/shares',
      operationId: 'listShares',
      tags: ['tasks'],
      summary: 'What each site has of the workers',
      request: { query: pageQuery },
      responses: { 200: json(pageOf(shareSchema), 'A page of shares') },
    }),
    async (c) => {
      const { pageSize, pageToken } = c.req.valid('query');
      const shares = await listSiteShares(store, { after: fromPageToken(pageToken) ?? '', limit: pageSize + 1 });
      return c.json(
        toPage(shares, pageSize, (share) => share.site),
        200,
      );
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/shares/{site}',
      operationId: 'readShare',
      tags: ['tasks'],
      summary: "Read a site's share",
      request: { params: siteParam },
      responses: { 200: json(shareSchema, 'The share') },
    }),
    async (c) => c.json(await read(c.req.valid('param').site), 200),
  );
  routes.openapi(
    createRoute({
      method: 'patch',
      path: '/v1/shares/{site}',
      operationId: 'changeShare',
      tags: ['tasks'],
      summary: 'Change how many runs a site may have at once, and its weight',
      request: { query: dryRunQuery, params: siteParam, body: jsonBody(shareChange) },
      responses: { 200: json(z.union([shareSchema, planSchema]), 'The share') },
    }),
    async (c) => {
      const change = c.req.valid('json');
      const { site: name } = c.req.valid('param');
      const apply = async (sql: Sql): Promise<void> => {
        const site = await readSite(sql, name);
        if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name });
        await storeSiteShare(sql, site.id, change);
        const data = { weight: change.weight ?? null, mostRuns: change.mostRuns ?? null };
        await events.append(sql, { kind: 'site.share-changed', subject: `site:${site.id}`, ...whoOf(c), data });
      };
      const plan = await planOf(c, () => rehearsing(store).transaction(apply), {
        plan: ['From the next run on that is given a place; those that live go on.'],
        sites: [name],
      });
      if (plan !== undefined) return c.json(plan, 200);
      await store.transaction(apply);
      return c.json(await read(name), 200);
    },
  );

  async function read(site: string) {
    const share = await readSiteShare(store, site);
    if (share === undefined) throw commonProblems.make('not-found', { noun: 'site', name: site });
    return share;
  }
  return routes;
}
