// Makes a site: accounts at the database and the cache, configuration on every node, the app's own installer, a first page
// on each node, and only then the edge. Taken back whole when a step fails: the name and hosts are free again.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { makeOperation, type OperationKind, type Step } from '../platform/operations/operation.ts';
import { syncPool } from '../pools/sync.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { checkOnNodes, enterState, execInSite } from './nodes.ts';
import { type SiteParts, secretsOf, siteLock, urlOf } from './parts.ts';
import { siteProblems } from './problems.ts';
import { removeContent } from './remove-content.ts';
import { deleteSite, readSite, type SiteRow, storeSitePlaces, storeSiteState } from './store.ts';

const paramsSchema = z.object({ site: z.string(), name: z.string() });
type Params = z.infer<typeof paramsSchema>;

const INSTALL_MS = 300_000;
/** Of the installer's output this much goes into the problem. */
const OUTPUT_SHOWN = 1_500;

/** The operation `site.create`. */
export function makeSiteCreate(parts: SiteParts): OperationKind<Params> {
  return makeOperation<Params>({
    kind: 'site.create',
    params: paramsSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name }) => `Create the site ${name}`,
    steps: ({ site }) => {
      const steps = makeNewSiteSteps(parts, site);
      return [steps.place, steps.accounts, steps.configure, steps.install, steps.check, steps.open];
    },
  });
}

/**
 * The steps of every new site, whatever its data come from. `besideDatabase`: its database goes to the server of that
 * site, so that a copy need not travel.
 */
export function makeNewSiteSteps(parts: SiteParts, id: string, besideDatabase?: string) {
  const { store, databases, caches, secrets, events } = parts;

  async function read(name: string): Promise<SiteRow & { databaseServer: string; cacheServer: string }> {
    const site = await readSite(store, name);
    if (site?.databaseServer == null || site.cacheServer === null)
      throw commonProblems.make('not-found', { noun: 'site', name });
    return { ...site, databaseServer: site.databaseServer, cacheServer: site.cacheServer };
  }

  return {
    place: {
      name: 'place',
      timeoutMs: 60_000,
      async do() {
        return store.transaction(async (sql) => {
          const site = await readSite(sql, id);
          if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name: id });
          if (site.databaseServer !== null) return { placement: site.placement };
          const beside = besideDatabase === undefined ? undefined : await readSite(sql, besideDatabase);
          const database =
            beside?.databaseServer == null || beside.databaseHost === null
              ? await databases.place(sql)
              : {
                  id: beside.databaseServer,
                  host: beside.databaseHost,
                  reason: `with ${beside.name}, whose copy it is`,
                };
          const cache = await caches.place(sql);
          const placement = `${site.placement}; database: ${database.reason}; cache: ${cache.reason}`;
          await storeSitePlaces(sql, id, {
            databaseServer: database.id,
            databaseHost: database.host,
            cacheServer: cache.id,
            cacheHost: cache.host,
            placement,
          });
          return { placement };
        });
      },
      async undo() {
        await store.transaction(async (sql) => {
          await secrets.removeAll(sql, secretsOf(id));
          await deleteSite(sql, id);
        });
      },
    },
    accounts: {
      name: 'accounts',
      timeoutMs: 60_000,
      async do({ signal }) {
        const site = await read(id);
        const allowedFrom = await parts.readAllowedFrom();
        const passwords = await secrets.readAll(store, secretsOf(id));
        const password = (name: string): string => passwords[`${secretsOf(id)}${name}`] ?? '';
        const { databaseConnections: connections, statementTimeS } = site.limits;
        const limits = { connections, statementTimeS };
        await Promise.all([
          databases.createSite(
            site.databaseServer,
            { name: id, user: id, password: password('database-password'), allowedFrom, limits },
            signal,
          ),
          caches.setSite(
            site.cacheServer,
            { name: id, password: password('cache-password'), prefix: `${id}:` },
            signal,
          ),
        ]);
      },
      async undo({ signal }) {
        const site = await read(id);
        await Promise.all([
          databases.dropSite(site.databaseServer, { name: id, user: id }, signal),
          caches.removeSite(site.cacheServer, { name: id, prefix: `${id}:` }, signal),
        ]);
      },
    },
    configure: {
      name: 'configure',
      timeoutMs: 120_000,
      async do({ signal }) {
        const site = await read(id);
        await changeConfig(store, (sql, version) =>
          storeSiteState(sql, id, 'creating', 'its nodes take its configuration', version),
        );
        await syncPool(parts.pools, site.pool, signal);
      },
      async undo({ signal }) {
        const site = await read(id);
        await enterState(parts, site, { state: 'failed', reason: 'its creation failed', first: 'edges' }, signal);
        await removeContent(parts, site, signal);
      },
    },
    install: {
      name: 'install',
      timeoutMs: INSTALL_MS,
      async do({ signal }) {
        const site = await read(id);
        const recipe = parts.readRecipe(site.app);
        if (recipe?.site === undefined)
          throw siteProblems.make('unknown-app', { app: site.app, known: parts.appNames().join(', ') });
        const password = await secrets.read(store, `${secretsOf(id)}admin-password`);
        const stdin = JSON.stringify({
          title: site.title,
          url: urlOf(parts.publicAddress, site.hosts[0] ?? ''),
          admin: { user: site.adminUser, email: site.adminEmail, password },
        });
        const result = await execInSite(
          parts,
          site,
          { argv: recipe.site.install, stdin, timeoutMs: INSTALL_MS },
          signal,
        );
        if (result.code === 0) return;
        const output = `${result.stdout}\n${result.stderr}`
          .replaceAll(password, '[secret]')
          .trim()
          .slice(-OUTPUT_SHOWN);
        throw siteProblems.make('install-failed', { site: site.name, code: result.code, output });
      },
    },
    check: {
      name: 'check',
      timeoutMs: 60_000,
      async do({ signal }) {
        const site = await read(id);
        const check = parts.readRecipe(site.app)?.site?.check;
        if (check !== undefined) await checkOnNodes(parts, site, check, signal);
      },
    },
    open: {
      name: 'open',
      timeoutMs: 60_000,
      async do({ signal }) {
        const site = await read(id);
        await changeConfig(store, async (sql) => {
          // The site's own version stays: its nodes have its configuration, and PHP need not start again.
          await storeSiteState(sql, id, 'ready', 'it is served', site.configVersion);
          if (site.state === 'ready') return;
          await parts.tasks.opened(sql, id);
          await events.append(sql, {
            kind: 'site.created',
            subject: siteLock(id),
            by: 'operation',
            data: { name: site.name },
          });
        });
        await parts.pools.syncEdges(signal);
        return { url: urlOf(parts.publicAddress, site.hosts[0] ?? '') };
      },
    },
  } satisfies Record<string, Step>;
}
