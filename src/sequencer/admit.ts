// Sites first: of each site a few runs at a time are open, that is, in the order of service, each with a place in it
// by what its site has had so far. The rest wait outside, so that a site with ten thousand of them is no longer to scan
// than one with ten. Apart from choosing, which takes the open ones in their order and puts them on servers.
//
// The order is start-time fair queuing (Goyal, Vin, Cheng 1996) in worker-seconds: a run's tag is where its site's service
// has got to (`finish`), or the virtual time now if that is later. Opening it moves its site on by its expected cost over the
// site's weight; when it has ended, by what it really took beyond that (end.ts); when it went back, by as much again (dispatch.ts).
// It gives each busy site its share within the cost of the runs that it may have open, as deficit round robin does, but the next
// run is one look into an index and not a tour of the sites.
import type { Sql } from '../platform/store.ts';
import { IS_OPEN_OF_SITE } from './by-index.ts';
import { type SequencerSettings, YIELDS } from './settings.ts';
import type { TimeSource } from './time.ts';
import { NOW } from './time.ts';

/** Units of the sequence of virtual time in a worker-second. */
export const VIRTUAL_UNITS = 1_000_000;

const VIRTUAL_YIELD = `(CASE class ${Object.entries(YIELDS)
  .map(([name, { virtualS }]) => `WHEN '${name}' THEN ${virtualS}`)
  .join(' ')} END)::float8`;

const renderOrder = (column: string): string =>
  `(CASE ${column} ${Object.keys(YIELDS)
    .map((name, order) => `WHEN '${name}' THEN ${order}`)
    .join(' ')} END)`;

/** Seconds that a class waits longer within its site, as an SQL expression over a column. */
export const renderWaitS = (column: string): string =>
  `(CASE ${column} ${Object.entries(YIELDS)
    .map(([name, { waitS }]) => `WHEN '${name}' THEN ${waitS}`)
    .join(' ')} END)`;

/**
 * The end of a statement that opens runs: their places in the order, and their sites moved on. `opened` names the rows of `run` with
 * `start` and `weight` of their sites.
 */
export const renderEntry = (opened: string): string =>
  `placed AS (
     SELECT id, class || '/' || pool AS lane, not_before, ${VIRTUAL_YIELD} AS yields, start + coalesce(sum(cost_s) OVER (PARTITION BY site
       ORDER BY ${renderOrder('class')}, turn, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) / weight AS tag
     FROM ${opened}
   ), moved AS (
     UPDATE site_share SET finish = own.start + own.cost_s / weight
     FROM (SELECT site, max(start) AS start, sum(cost_s) AS cost_s FROM ${opened} GROUP BY site) AS own
     WHERE site_share.site = own.site
   ), entered AS (
     INSERT INTO run_next (run, not_before, tag, rank, lane)
     SELECT id, not_before, tag, tag + yields, lane FROM placed RETURNING run
   )`;

/** Where a site's service has got to, for its next run: an SQL expression over `site_share AS share`. */
export const SITE_START = `greatest(share.finish, (SELECT last_value FROM virtual_time) / ${VIRTUAL_UNITS}::float8)`;

/** Holds the rows of these sites' shares to the end of the transaction. A statement of its own: what follows must see what others committed while this one waited. */
export async function lockShares(sql: Sql, sites: readonly string[]): Promise<void> {
  const asked = [...new Set(sites)].sort();
  const lock = () =>
    sql.query<{ count: number }>(
      `SELECT count(*) AS count FROM (
         SELECT site FROM site_share WHERE site = ANY($1) ORDER BY site FOR UPDATE
       ) AS held`,
      [asked],
    );
  const [held] = await lock();
  if (held?.count === asked.length) return;
  await sql.query(
    'INSERT INTO site_share (site) SELECT id FROM site WHERE id = ANY($1) ORDER BY id ON CONFLICT DO NOTHING',
    [asked],
  );
  await lock();
}

/** Opens what has room, of these sites, somewhat before it may start. In the caller's transaction, which then holds these sites' rows. Returns how many. */
export async function admit(
  sql: Sql,
  time: TimeSource,
  sites: readonly string[],
  settings: Pick<SequencerSettings, 'siteMost' | 'aheadMs'>,
): Promise<number> {
  if (sites.length === 0) return 0;
  await lockShares(sql, sites);
  const [row] = await sql.query<{ count: number }>(
    `WITH candidate AS (
       -- Looks into indexes, one for each site and one for each run: joins would depend on statistics, which a queue outruns.
       SELECT next.*, share.weight, ${SITE_START} AS start
       FROM site_share AS share CROSS JOIN LATERAL (
         SELECT count(*) AS runs FROM run WHERE run.site = share.site AND ${IS_OPEN_OF_SITE}
       ) AS held CROSS JOIN LATERAL (
         SELECT id, pool, site, class, cost_s, not_before, turn, overlap_key FROM run
         WHERE run.site = share.site AND NOT open AND not_before <= ${NOW} + make_interval(secs => $4)
           AND (SELECT true FROM run AS other WHERE other.overlap_key = run.overlap_key AND other.open LIMIT 1) IS NULL
         ORDER BY turn, id LIMIT greatest(coalesce(share.most, $3) - held.runs, 0)
       ) AS next WHERE share.site = ANY($2)
     ), picked AS (
       SELECT DISTINCT ON (overlap_key) * FROM candidate ORDER BY overlap_key, turn, id
     ), opened AS (
       UPDATE run SET open = true FROM picked WHERE run.id = picked.id
     ), ${renderEntry('picked')}
     SELECT count(*) AS count FROM entered`,
    [time.at(), [...new Set(sites)], settings.siteMost, settings.aheadMs / 1000],
  );
  return row?.count ?? 0;
}

/** Sites that have room and a run waiting whose time has come: a few index probes for each site with waiting runs. */
export async function listWaitingSites(
  sql: Sql,
  time: TimeSource,
  settings: Pick<SequencerSettings, 'siteMost' | 'aheadMs'>,
): Promise<string[]> {
  const rows = await sql.query<{ site: string }>(
    `WITH RECURSIVE waiting AS (
       (SELECT site FROM run WHERE NOT open ORDER BY site LIMIT 1)
       UNION ALL
       SELECT (SELECT site FROM run WHERE NOT open AND run.site > waiting.site ORDER BY site LIMIT 1)
       FROM waiting WHERE waiting.site IS NOT NULL
     ) SELECT site FROM waiting
     WHERE site IS NOT NULL AND EXISTS (SELECT FROM run WHERE run.site = waiting.site AND NOT open AND not_before <= ${NOW} + make_interval(secs => $3))
       AND (SELECT count(*) FROM run WHERE run.site = waiting.site AND ${IS_OPEN_OF_SITE})
         < coalesce((SELECT most FROM site_share WHERE site_share.site = waiting.site), $2)`,
    [time.at(), settings.siteMost, settings.aheadMs / 1000],
  );
  return rows.map((row) => row.site);
}

/** Opens whatever has room anywhere: what an end elsewhere, a backoff that is over or a killed controller left waiting. */
export async function admitWaiting(parts: {
  store: { transaction: <T>(work: (sql: Sql) => Promise<T>, isolation: 'read committed') => Promise<T> } & Sql;
  time: TimeSource;
  settings: SequencerSettings;
}): Promise<number> {
  const sites = await listWaitingSites(parts.store, parts.time, parts.settings);
  let opened = 0;
  for (let from = 0; from < sites.length; from += parts.settings.batch) {
    const some = sites.slice(from, from + parts.settings.batch);
    opened += await parts.store.transaction((sql) => admit(sql, parts.time, some, parts.settings), 'read committed');
  }
  return opened;
}
