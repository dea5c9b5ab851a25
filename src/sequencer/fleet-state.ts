// The table `fleet_state` as people see it, and the shares of the sites: who may have how many runs at once. The hot paths have
// their own SQL in their own files.
import type { Sql } from '../platform/store.ts';
import { IS_OPEN_OF_SITE } from './by-index.ts';

export interface FleetState {
  /** Of the brownout; 0 is full service. */
  level: number;
  reason: string;
  since: string;
  /** Ends of runs that came with an epoch no longer theirs. */
  staleEnds: number;
  /** Tasks that need attention. */
  attention: number;
}

export async function readFleetState(sql: Sql): Promise<FleetState> {
  const [row] = await sql.query<FleetState>(
    `SELECT brownout AS level, brownout_reason AS reason, brownout_since AS since, stale_ends AS "staleEnds",
       (SELECT count(*) FROM task WHERE attention IS NOT NULL) AS attention FROM fleet_state`,
  );
  return row ?? { level: 0, reason: '', since: '', staleEnds: 0, attention: 0 };
}

/** What a site has of the workers. */
export interface SiteShare {
  site: string;
  /** Against other busy sites: one with 2 gets twice what one with 1 gets. */
  weight: number;
  /** How many of its runs may be open at once; null: as many as any site. */
  mostRuns: number | null;
  /** Runs now: in the order of service, leased or running; and those that wait outside. */
  open: number;
  waiting: number;
}

const SHARE = `site.name AS site, coalesce(share.weight, 1) AS weight, share.most AS "mostRuns",
  (SELECT count(*) FROM run WHERE run.site = site.id AND ${IS_OPEN_OF_SITE}) AS open,
  (SELECT count(*) FROM run WHERE run.site = site.id AND NOT open) AS waiting
  FROM site LEFT JOIN site_share AS share ON share.site = site.id`;

/** A page in the order of names. */
export function listSiteShares(sql: Sql, page: { after: string; limit: number }): Promise<SiteShare[]> {
  return sql.query<SiteShare>(`SELECT ${SHARE} WHERE site.name > $1 ORDER BY site.name LIMIT $2`, [
    page.after,
    page.limit,
  ]);
}

/** By name or id. */
export async function readSiteShare(sql: Sql, site: string): Promise<SiteShare | undefined> {
  return (await sql.query<SiteShare>(`SELECT ${SHARE} WHERE site.name = $1 OR site.id = $1`, [site]))[0];
}

/** Stores what is given; `mostRuns` null takes the site's own limit away. */
export async function storeSiteShare(
  sql: Sql,
  siteId: string,
  { weight, mostRuns }: { weight?: number | undefined; mostRuns?: number | null | undefined },
): Promise<void> {
  await sql.query('INSERT INTO site_share (site) VALUES ($1) ON CONFLICT DO NOTHING', [siteId]);
  await sql.query(
    'UPDATE site_share SET weight = coalesce($2, weight), most = CASE WHEN $3 THEN $4::int ELSE most END WHERE site = $1',
    [siteId, weight ?? null, mostRuns !== undefined, mostRuns ?? null],
  );
}
