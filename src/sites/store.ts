// The tables `site` and `hostname`: their SQL and nobody else's.
import { type Sql, toJsonValue } from '../platform/store.ts';
import type { SiteLimits } from '../protocol/site-document.ts';

/**
 * maintenance: closed on its nodes, visitors see a page that says so. upgrading: its nodes serve it already, to be
 * checked, and visitors see that page still. The others are in the glossary.
 */
export type SiteState = 'creating' | 'ready' | 'suspended' | 'maintenance' | 'upgrading' | 'failed' | 'archived';

/** The final backup: where the dump lies on the database server and the files on the pool's volume. */
export interface SiteBackup {
  databaseServer: string;
  dump: { path: string; bytes: number; sha256: string };
  files: string;
  at: string;
}

export interface SiteRow {
  id: string;
  name: string;
  app: string;
  pool: string;
  /** Which of the pool's nodes serve it (pools/generations.ts). */
  generation: number;
  databaseServer: string | null;
  databaseHost: string | null;
  cacheServer: string | null;
  cacheHost: string | null;
  uid: number;
  state: SiteState;
  reason: string;
  placement: string;
  title: string;
  adminUser: string;
  adminEmail: string;
  configVersion: number;
  settings: Record<string, string | number | boolean>;
  limits: SiteLimits;
  backup: SiteBackup | null;
  /** When it was last archived, and when it is purged if it still is then. */
  archivedAt: string | null;
  purgeAt: string | null;
  createdAt: string;
  /** What it would send by mail is put aside. */
  mailHeld: boolean;
  /** Its PHP calls nobody but itself. */
  hooksHeld: boolean;
  /** The id of the site that it was cloned from. */
  clonedFrom: string | null;
  /** The pool that it is moving to, whose nodes have its configuration already. */
  movingTo: string | null;
  /** The last seconds of a move. edge: its visitors wait at the edge. closed: and its old pool has no PHP for it any more. */
  held: 'edge' | 'closed' | null;
  /** Its code went on while it was closed: the app's upgrade runs before it opens. */
  upgradeOwed: boolean;
  /** What people said of it, to choose it by. */
  labels: Record<string, string>;
  /** The primary one first. */
  hosts: string[];
}

const SITE = `id, name, app, pool, generation, database_server AS "databaseServer", database_host AS "databaseHost",
  cache_server AS "cacheServer", cache_host AS "cacheHost", uid, state, reason, placement, title,
  admin_user AS "adminUser", admin_email AS "adminEmail", config_version AS "configVersion", settings, limits, backup,
  archived_at AS "archivedAt", purge_at AS "purgeAt", created_at AS "createdAt",
  mail_held AS "mailHeld", hooks_held AS "hooksHeld", cloned_from AS "clonedFrom", moving_to AS "movingTo", held,
  upgrade_owed AS "upgradeOwed", labels,
  coalesce((SELECT array_agg(host ORDER BY position) FROM hostname WHERE hostname.site = site.id), '{}') AS hosts`;

/** By id or by name. */
export async function readSite(sql: Sql, idOrName: string): Promise<SiteRow | undefined> {
  const rows = await sql.query<SiteRow>(
    `SELECT ${SITE} FROM site WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC LIMIT 1`,
    [idOrName],
  );
  return rows[0];
}

export async function readSiteByHost(sql: Sql, host: string): Promise<SiteRow | undefined> {
  return (
    await sql.query<SiteRow>(`SELECT ${SITE} FROM site WHERE id = (SELECT site FROM hostname WHERE host = $1)`, [host])
  )[0];
}

/** All sites by name, or those that the nodes of a pool or of one of its generations have, on their way to it included. */
export function listSites(sql: Sql, where: { pool?: string; generation?: number } = {}): Promise<SiteRow[]> {
  return sql.query<SiteRow>(
    `SELECT ${SITE} FROM site WHERE $1::text IS NULL OR (pool = $1 AND ($2::int IS NULL OR generation = $2))
       OR (moving_to = $1 AND ($2::int IS NULL OR $2 = (SELECT generation FROM pool WHERE pool.name = $1))) ORDER BY name`,
    [where.pool ?? null, where.generation ?? null],
  );
}

/** A database server or cache server is reached at another address: all its sites hear of it, those that are being made too. */
export async function storeServiceHost(
  sql: Sql,
  noun: 'database' | 'cache',
  server: string,
  host: string,
  version: number,
): Promise<void> {
  await sql.query(
    `UPDATE site SET ${noun}_host = $2, config_version = CASE config_version WHEN 0 THEN 0 ELSE $3 END
     WHERE ${noun}_server = $1`,
    [server, host, version],
  );
}

/** What the sites of a pool lean on: their database servers, and the most PHP processes that one of them may have on a node. */
export interface Footprint {
  databaseServers: string[];
  phpWorkers: number;
}

/** By pool; pools without sites are left out. */
export async function listFootprints(sql: Sql, pools: readonly string[]): Promise<Map<string, Footprint>> {
  const rows = await sql.query<Footprint & { pool: string }>(
    `SELECT pool, coalesce(array_agg(DISTINCT database_server) FILTER (WHERE database_server IS NOT NULL), '{}') AS "databaseServers",
       coalesce(max((limits->>'phpWorkers')::int), 0) AS "phpWorkers" FROM site WHERE pool = ANY($1) GROUP BY pool`,
    [[...pools]],
  );
  return new Map(rows.map(({ pool, ...footprint }) => [pool, footprint]));
}

/** On which pools these sites live, by their ids. */
export async function readPoolsOfSites(sql: Sql, ids: readonly string[]): Promise<Map<string, string>> {
  const rows = await sql.query<{ id: string; pool: string }>('SELECT id, pool FROM site WHERE id = ANY($1)', [
    [...ids],
  ]);
  return new Map(rows.map(({ id, pool }) => [id, pool]));
}

/** A page of sites after a name; `filter` is a clause made by renderFilterSql with placeholders from $3. */
export function listSitePage(
  sql: Sql,
  page: { after: string | undefined; limit: number; filter: { text: string; values: string[] } },
): Promise<SiteRow[]> {
  return sql.query<SiteRow>(
    `SELECT ${SITE} FROM site WHERE ($1::text IS NULL OR name > $1)${page.filter.text} ORDER BY name LIMIT $2`,
    [page.after ?? null, page.limit, ...page.filter.values],
  );
}

export type NewSiteRow = Pick<
  SiteRow,
  | 'id'
  | 'name'
  | 'app'
  | 'pool'
  | 'uid'
  | 'title'
  | 'adminUser'
  | 'adminEmail'
  | 'configVersion'
  | 'settings'
  | 'limits'
  | 'placement'
  | 'mailHeld'
  | 'hooksHeld'
  | 'clonedFrom'
>;

export async function insertSite(sql: Sql, site: NewSiteRow, hosts: readonly string[]): Promise<void> {
  await sql.query(
    // A copy is of the generation of its source, whose tables it has.
    `INSERT INTO site (generation, id, name, app, pool, uid, state, reason, placement, title, admin_user, admin_email, config_version, settings, limits,
       mail_held, cloned_from, hooks_held)
     VALUES (coalesce((SELECT generation FROM site WHERE id = $14 AND pool = $4), (SELECT generation FROM pool WHERE name = $4)),
       $1, $2, $3, $4, $5, 'creating', 'it is being created', $6, $7, $8, $9, $10, $11::jsonb, $12::jsonb, $13, $14, $15)`,
    [
      site.id,
      site.name,
      site.app,
      site.pool,
      site.uid,
      site.placement,
      site.title,
      site.adminUser,
      site.adminEmail,
      site.configVersion,
      toJsonValue(site.settings),
      toJsonValue(site.limits),
      site.mailHeld,
      site.clonedFrom,
      site.hooksHeld,
    ],
  );
  await replaceHosts(sql, site.id, hosts);
}

export async function replaceHosts(sql: Sql, site: string, hosts: readonly string[]): Promise<void> {
  await sql.query('DELETE FROM hostname WHERE site = $1', [site]);
  await sql.query(
    'INSERT INTO hostname (host, site, position) SELECT host, $1, n - 1 FROM unnest($2::text[]) WITH ORDINALITY AS given (host, n)',
    [site, [...hosts]],
  );
}

/** A host name of another site that is one of these, or lies above or below one of these. */
export async function readConflictingHost(
  sql: Sql,
  hosts: readonly string[],
  exceptSite: string,
): Promise<{ host: string; site: string; given: string } | undefined> {
  const rows = await sql.query<{ host: string; site: string; given: string }>(
    `SELECT hostname.host, site.name AS site, given.host AS given
     FROM hostname JOIN site ON site.id = hostname.site, unnest($1::text[]) AS given (host)
     WHERE hostname.site <> $2 AND (hostname.host = given.host
       OR right(hostname.host, length(given.host) + 1) = '.' || given.host
       OR right(given.host, length(hostname.host) + 1) = '.' || hostname.host)
     ORDER BY hostname.host = given.host DESC LIMIT 1`,
    [[...hosts], exceptSite],
  );
  return rows[0];
}

/** The lowest free Unix user id, from `first` on. */
export async function readFreeUid(sql: Sql, first: number): Promise<number> {
  const rows = await sql.query<{ uid: number }>(
    `SELECT candidate.uid FROM (SELECT $1::int AS uid UNION SELECT uid + 1 FROM site) AS candidate
     WHERE candidate.uid >= $1::int AND NOT EXISTS (SELECT FROM site WHERE site.uid = candidate.uid) ORDER BY 1 LIMIT 1`,
    [first],
  );
  return rows[0]?.uid ?? first;
}

export async function storeSitePlaces(
  sql: Sql,
  id: string,
  places: { databaseServer: string; databaseHost: string; cacheServer: string; cacheHost: string; placement: string },
): Promise<void> {
  await sql.query(
    `UPDATE site SET database_server = $2, database_host = $3, cache_server = $4, cache_host = $5, placement = $6 WHERE id = $1`,
    [id, places.databaseServer, places.databaseHost, places.cacheServer, places.cacheHost, places.placement],
  );
}

/** Changes the state and the configuration's version with it. */
export async function storeSiteState(
  sql: Sql,
  id: string,
  state: SiteState,
  reason: string,
  version: number,
): Promise<void> {
  await sql.query('UPDATE site SET state = $2, reason = $3, config_version = $4 WHERE id = $1', [
    id,
    state,
    reason,
    version,
  ]);
}

/** Puts a site on another generation of its pool; its nodes and the edge follow by the configuration's version. */
export async function storeSiteGeneration(
  sql: Sql,
  id: string,
  to: { generation: number; state: SiteState; reason: string },
  version: number,
): Promise<void> {
  await sql.query('UPDATE site SET generation = $2, state = $3, reason = $4, config_version = $5 WHERE id = $1', [
    id,
    to.generation,
    to.state,
    to.reason,
    version,
  ]);
}

/** Closed sites follow their pool's code without having been opened: their tables are still of before. */
export async function moveClosedSites(sql: Sql, pool: string, from: number, to: number): Promise<void> {
  await sql.query(
    `UPDATE site SET generation = $3, upgrade_owed = true
     WHERE pool = $1 AND generation = $2 AND state IN ('archived', 'failed')`,
    [pool, from, to],
  );
}

export async function storeUpgradeOwed(sql: Sql, id: string, owed: boolean): Promise<void> {
  await sql.query('UPDATE site SET upgrade_owed = $2 WHERE id = $1', [id, owed]);
}

/** Null takes a label away. */
export async function storeLabels(
  sql: Sql,
  id: string,
  changes: Readonly<Record<string, string | null>>,
): Promise<void> {
  await sql.query('UPDATE site SET labels = jsonb_strip_nulls(labels || $2::jsonb) WHERE id = $1', [
    id,
    toJsonValue(changes),
  ]);
}

/** What of a site can be held back. */
export type Holdable = 'mail' | 'hooks';

export async function storeHoldable(
  sql: Sql,
  id: string,
  what: Holdable,
  held: boolean,
  version: number,
): Promise<void> {
  await sql.query(`UPDATE site SET ${what}_held = $2, config_version = $3 WHERE id = $1`, [id, held, version]);
}

export async function storeLimits(sql: Sql, id: string, limits: SiteLimits, version: number): Promise<void> {
  await sql.query('UPDATE site SET limits = $2::jsonb, config_version = $3 WHERE id = $1', [
    ...[id, toJsonValue(limits), version],
  ]);
}

export async function storeSetting(sql: Sql, id: string, name: string, value: string): Promise<void> {
  await sql.query('UPDATE site SET settings = settings || jsonb_build_object($2::text, $3::text) WHERE id = $1', [
    ...[id, name, value],
  ]);
}

export async function storeArchived(
  sql: Sql,
  id: string,
  archive: { backup: SiteBackup; graceS: number },
): Promise<void> {
  await sql.query(
    `UPDATE site SET backup = $2::jsonb, archived_at = now(), purge_at = now() + make_interval(secs => $3) WHERE id = $1`,
    [id, toJsonValue(archive.backup), archive.graceS],
  );
}

/** Archived sites past their time, and those whose purge failed half way. */
export async function listDueForPurge(sql: Sql): Promise<SiteRow[]> {
  return sql.query<SiteRow>(
    `SELECT ${SITE} FROM site WHERE state IN ('archived', 'failed') AND purge_at <= now() ORDER BY purge_at`,
  );
}

export async function deleteSite(sql: Sql, id: string): Promise<void> {
  await sql.query('DELETE FROM site WHERE id = $1', [id]);
}

/** Number of sites of each pool, those on their way to it included. */
export async function countSitesByPool(sql: Sql): Promise<Map<string, number>> {
  const rows = await sql.query<{ pool: string; sites: number }>(
    `SELECT pool, count(*) AS sites FROM (
       SELECT pool FROM site UNION ALL SELECT moving_to FROM site WHERE moving_to IS NOT NULL) AS every GROUP BY pool`,
  );
  return new Map(rows.map((row) => [row.pool, row.sites]));
}

/** Number of sites, archived ones included, of each database server or cache server. */
export async function countSitesByService(sql: Sql, noun: 'database' | 'cache'): Promise<ReadonlyMap<string, number>> {
  const rows = await sql.query<{ server: string; sites: number }>(
    `SELECT ${noun}_server AS server, count(*) AS sites FROM site WHERE ${noun}_server IS NOT NULL GROUP BY 1`,
  );
  return new Map(rows.map((row) => [row.server, row.sites]));
}

export async function deleteAllSites(sql: Sql): Promise<void> {
  await sql.query('DELETE FROM site');
}
