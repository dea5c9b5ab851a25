// The site's document: everything that a node must know of it, from its row and its secrets. The config service answers
// with it, agents render it. Apart because it is the one place where secrets meet the rest.

import type { Sql } from '../platform/store.ts';
import { type SiteDocument, siteDocument } from '../protocol/site-document.ts';
import { readConfigVersion } from '../servers/config-clock.ts';
import { type SiteParts, secretsOf, urlOf } from './parts.ts';
import { listSites, readSiteByHost, type SiteRow } from './store.ts';

const DATABASE_PORT = 3306;
const CACHE_PORT = 6379;

/** Whether nodes and edges know the site: not before it has a first version, nor when it is gone but for its data. */
export const standsOnNodes = (site: SiteRow): boolean =>
  site.configVersion > 0 && site.state !== 'archived' && site.state !== 'failed';

/**
 * A node serves one that is being made or upgraded like any other; visitors are kept from it at the edge. So opening it
 * changes nothing on the nodes.
 */
const stateOnNodes = ({ state }: SiteRow) => (state === 'creating' || state === 'upgrading' ? 'ready' : state);

/** The document of a site that stands on its nodes, as the nodes of `pool` must have it. */
export async function toSiteDocument(
  parts: SiteParts,
  sql: Sql,
  site: SiteRow,
  pool = site.pool,
): Promise<SiteDocument> {
  const kept = await parts.secrets.readAll(sql, secretsOf(site.id));
  const secret = (name: string): string => kept[`${secretsOf(site.id)}${name}`] ?? '';
  const primaryHost = site.hosts[0] ?? '';
  return siteDocument.parse({
    site: site.id,
    name: site.name,
    app: site.app,
    version: site.configVersion,
    uid: site.uid,
    // Closed on its old pool while it is held: from the last copy on only the new one may write.
    state: site.held === 'closed' && pool === site.pool ? 'suspended' : stateOnNodes(site),
    hosts: site.hosts,
    primaryHost,
    url: urlOf(parts.publicAddress, primaryHost),
    title: site.title,
    database: {
      host: site.databaseHost,
      port: DATABASE_PORT,
      name: site.id,
      user: site.id,
      password: secret('database-password'),
    },
    cache: {
      host: site.cacheHost,
      port: CACHE_PORT,
      user: site.id,
      password: secret('cache-password'),
      prefix: `${site.id}:`,
    },
    secrets: Object.fromEntries(
      Object.keys(parts.readRecipe(site.app)?.site?.secrets ?? {}).map((name) => [name, secret(`app-${name}`)]),
    ),
    settings: site.settings,
    limits: site.limits,
    mailHeld: site.mailHeld,
    hooksHeld: site.hooksHeld,
  } satisfies Record<keyof SiteDocument, unknown>);
}

/** What `config.pool` answers of a generation: the documents newer than `since` and the ids of all that belong. */
export async function readPoolConfig(
  parts: SiteParts,
  of: { pool: string; generation: number; since: number },
): Promise<{ version: number; changed: SiteDocument[]; present: string[] }> {
  const { store } = parts;
  // The version first: what changes after it is sent again next time, and nothing is missed.
  const version = await readConfigVersion(store);
  const all = (await listSites(store, of)).filter(standsOnNodes);
  const newer = all.filter((site) => site.configVersion > of.since);
  const changed = await Promise.all(newer.map((site) => toSiteDocument(parts, store, site, of.pool)));
  return { version, changed, present: all.map((site) => site.id) };
}

/** The document for a host name, for the config service; undefined when no site has it or it stands on no node. */
export async function readHostConfig(parts: SiteParts, host: string): Promise<SiteDocument | undefined> {
  const site = await readSiteByHost(parts.store, host);
  if (site === undefined || !standsOnNodes(site)) return undefined;
  return toSiteDocument(parts, parts.store, site);
}
