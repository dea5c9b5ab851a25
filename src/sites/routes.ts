// Sites over HTTP, and the config service: a site's configuration by host name.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import {
  type ApiRoutes,
  accepted,
  answerAccepted,
  assertIfMatch,
  dryRunQuery,
  etagOf,
  fromPageToken,
  json,
  jsonBody,
  makeRoutes,
  needsScope,
  pageOf,
  pageQuery,
  parseFilter,
  planSchema,
  renderFilterSql,
  toPage,
  whoOf,
} from '../platform/http.ts';
import { beginOrPlan, planned, planOf, rehearsing } from '../platform/plan-change.ts';
import type { Store } from '../platform/store.ts';
import { siteDocument, siteLimits } from '../protocol/site-document.ts';
import { beginSiteCreate, newSiteSchema } from './admit.ts';
import { beginSiteClone, newCloneSchema, planClone } from './clone.ts';
import { DEFAULT_GRACE_S, startSiteDelete } from './delete.ts';
import { readHostConfig } from './document.ts';
import { labelsSchema, setLabels } from './label.ts';
import { type SiteParts, secretsOf, urlOf } from './parts.ts';
import { siteProblems } from './problems.ts';
import { siteHostsSchema, startSetHosts } from './set-hosts.ts';
import { listSitePage, readSite, type SiteRow } from './store.ts';
import { startSiteChange } from './suspend.ts';

const siteSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    app: z.string(),
    title: z.string(),
    state: z.enum(['creating', 'ready', 'suspended', 'maintenance', 'upgrading', 'failed', 'archived']),
    reason: z.string(),
    url: z.string(),
    hosts: z.array(z.string()),
    pool: z.string(),
    generation: z
      .number()
      .describe("Which of the pool's nodes serve it: those of its own image, or of the one that a wave brings"),
    upgradeOwed: z.boolean(),
    labels: z.record(z.string(), z.string()),
    placement: z.string(),
    databaseServer: z.string().nullable(),
    cacheServer: z.string().nullable(),
    adminUser: z.string(),
    adminEmail: z.string(),
    settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
    limits: siteLimits,
    mailHeld: z.boolean(),
    hooksHeld: z.boolean(),
    movingTo: z.string().nullable().describe('The pool that it is on its way to'),
    clonedFrom: z.string().nullable().describe('The id of the site that it was cloned from'),
    configVersion: z.number(),
    purgeAt: z.string().nullable(),
    createdAt: z.string(),
  })
  .openapi('Site');

const nameParam = z.object({ name: z.string() });
const FILTERS = { name: 'name', app: 'app', pool: 'pool', state: 'state' };

/** /v1/sites and /v1/config/hosts/{host}. */
export function makeSiteRoutes(parts: SiteParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();

  const toView = (site: SiteRow): z.infer<typeof siteSchema> => {
    const { uid: _uid, databaseHost: _d, cacheHost: _c, backup: _b, archivedAt: _a, held: _h, ...rest } = site;
    const purgeAt = site.state === 'archived' ? site.purgeAt : null;
    return { ...rest, purgeAt, url: urlOf(parts.publicAddress, site.hosts[0] ?? '') };
  };
  const read = async (name: string): Promise<SiteRow> => {
    const site = await readSite(store, name);
    if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name });
    return site;
  };

  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/sites',
      operationId: 'listSites',
      tags: ['sites'],
      summary: 'List sites',
      request: { query: pageQuery },
      responses: { 200: json(pageOf(siteSchema), 'A page of sites') },
    }),
    async (c) => {
      const { pageSize, pageToken, filter } = c.req.valid('query');
      const where = renderFilterSql(parseFilter(filter, Object.keys(FILTERS)), FILTERS, 3);
      const rows = await listSitePage(store, { after: fromPageToken(pageToken), limit: pageSize + 1, filter: where });
      const page = toPage(rows, pageSize, (site) => site.name);
      return c.json({ ...page, items: page.items.map(toView) }, 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/sites',
      operationId: 'createSite',
      tags: ['sites'],
      summary: 'Create a site',
      request: { query: dryRunQuery, body: jsonBody(newSiteSchema) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const wish = c.req.valid('json');
      return beginOrPlan(
        c,
        store,
        (s) => beginSiteCreate({ ...parts, store: s }, wish, whoOf(c)),
        () => ({
          plan: [`It is made for ${wish.hosts.join(', ')}, with a database, an account in a cache, and new secrets.`],
          sites: [],
        }),
      );
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/sites/{name}',
      operationId: 'readSite',
      tags: ['sites'],
      summary: 'Read one site, by name or id',
      request: { params: nameParam },
      responses: { 200: json(siteSchema, 'The site') },
    }),
    async (c) => {
      const site = await read(c.req.valid('param').name);
      c.header('ETag', etagOf(site.configVersion));
      return c.json(toView(site), 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/sites/{name}/first-login',
      operationId: 'readFirstLogin',
      tags: ['sites'],
      summary: 'The address, user and first password of the person who administers the site',
      middleware: [needsScope('operate')],
      request: { params: nameParam },
      responses: {
        200: json(z.object({ url: z.string(), user: z.string(), password: z.string() }), 'The first login'),
      },
    }),
    async (c) => {
      const site = await read(c.req.valid('param').name);
      const name = `${secretsOf(site.id)}admin-password`;
      const password = (await parts.secrets.readAll(store, name))[name];
      if (password === undefined) throw siteProblems.make('no-first-password', { site: site.name });
      const path = parts.readRecipe(site.app)?.site?.loginPath ?? '/';
      return c.json(
        { url: `${urlOf(parts.publicAddress, site.hosts[0] ?? '')}${path}`, user: site.adminUser, password },
        200,
      );
    },
  );
  for (const verb of ['suspend', 'resume'] as const) {
    routes.openapi(
      createRoute({
        method: 'post',
        path: `/v1/sites/{name}/${verb}`,
        operationId: `${verb}Site`,
        tags: ['sites'],
        summary: verb === 'suspend' ? 'Suspend a site' : 'Bring a suspended or archived site back',
        request: { query: dryRunQuery, params: nameParam },
        responses: { 202: accepted, 200: planned },
      }),
      async (c) => {
        const { name } = c.req.valid('param');
        const words =
          verb === 'suspend'
            ? 'Its visitors see a page that says so; its PHP is closed and its tasks rest. Nothing is deleted.'
            : 'Its visitors are served again, and its tasks are due.';
        return beginOrPlan(
          c,
          store,
          (s) => s.transaction((sql) => startSiteChange(parts, sql, verb, name, whoOf(c))),
          () => ({ plan: [words] }),
        );
      },
    );
  }
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/sites/{name}/clone',
      operationId: 'cloneSite',
      tags: ['sites'],
      summary: 'Make a copy of a site with its data under other host names; its mail is held back',
      request: { params: nameParam, query: dryRunQuery, body: jsonBody(newCloneSchema) },
      responses: { 202: accepted, 200: json(planSchema, 'With dryRun: what would be done') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const wish = c.req.valid('json');
      if (c.req.valid('query').dryRun)
        return c.json(await planClone(parts, name, wish, whoOf(c), c.req.raw.signal), 200);
      return answerAccepted(c, await beginSiteClone(parts, name, wish, whoOf(c)));
    },
  );
  routes.openapi(
    createRoute({
      method: 'patch',
      path: '/v1/sites/{name}/labels',
      operationId: 'labelSite',
      tags: ['sites'],
      summary: 'Give a site labels, or take some away: null',
      request: { query: dryRunQuery, params: nameParam, body: jsonBody(labelsSchema) },
      responses: { 200: json(z.union([siteSchema, planSchema]), 'The site') },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const change = (s: Store) => setLabels({ ...parts, store: s }, name, c.req.valid('json'), whoOf(c));
      const plan = await planOf(c, () => change(rehearsing(store)), { plan: ['Its labels change, and nothing else.'] });
      return plan === undefined ? c.json(toView(await change(store)), 200) : c.json(plan, 200);
    },
  );
  routes.openapi(
    createRoute({
      method: 'put',
      path: '/v1/sites/{name}/hosts',
      operationId: 'setSiteHosts',
      tags: ['sites'],
      summary: "Set a site's host names, the primary one first",
      request: { query: dryRunQuery, params: nameParam, body: jsonBody(siteHostsSchema) },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const { hosts } = c.req.valid('json');
      assertIfMatch(c, (await read(name)).configVersion);
      return beginOrPlan(
        c,
        store,
        (s) => s.transaction((sql) => startSetHosts(parts, sql, name, hosts, whoOf(c)), 'read committed'),
        () => ({ plan: [`It is ${hosts.join(', ')} from then on, and known by no other name.`] }),
      );
    },
  );
  routes.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/sites/{name}',
      operationId: 'deleteSite',
      tags: ['sites'],
      summary: 'Back a site up, close it, and purge it after its grace time',
      request: {
        params: nameParam,
        query: dryRunQuery.extend({ graceS: z.coerce.number().int().min(0).default(DEFAULT_GRACE_S) }),
      },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const { graceS } = c.req.valid('query');
      assertIfMatch(c, (await read(name)).configVersion);
      return beginOrPlan(
        c,
        store,
        (s) => s.transaction((sql) => startSiteDelete(parts, sql, name, graceS, whoOf(c))),
        () => ({
          plan: [`It is backed up and closed, and purged for good after ${graceS} s; until then it can be resumed.`],
        }),
      );
    },
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/config/hosts/{host}',
      operationId: 'readHostConfig',
      tags: ['config'],
      summary: 'What a node must know of the site with this host name, secrets included',
      middleware: [needsScope('admin')],
      request: { params: z.object({ host: z.string() }) },
      responses: {
        200: json(siteDocument, 'The configuration'),
        304: { description: 'Unchanged since If-None-Match' },
      },
    }),
    async (c) => {
      const { host } = c.req.valid('param');
      const document = await readHostConfig(parts, host.toLowerCase());
      if (document === undefined) throw commonProblems.make('not-found', { noun: 'host name', name: host });
      const etag = etagOf(document.version);
      c.header('ETag', etag);
      if (c.req.header('If-None-Match') === etag) return c.body(null, 304);
      return c.json(document, 200);
    },
  );
  return routes;
}
