// The tables `pool_policy`, `node_sample`, `pool_edge_sample`, `vote_round` and `vote_hour`: their SQL and nobody else's. The
// database's clock decides; tests put theirs in its place ($1 of the statements that need the time).
import { type Sql, toJsonValue } from '../platform/store.ts';
import type { EdgeSample, NodeSample } from '../protocol/contract.ts';
import type { Decision, Round } from './decide.ts';
import type { Policy } from './policy.ts';
import type { NodeVote } from './vote.ts';

const NOW = 'coalesce($1::timestamptz, now())';
const HOUR_MS = 3_600_000;

export interface PolicyRow {
  pool: string;
  policy: Policy;
  version: number;
  pausedBy: string | null;
  pausedReason: string | null;
  seenWanted: number;
  resizedAt: string | null;
  siteNumber: number | null;
  siteNumberAt: string | null;
  siteNumberProblem: string | null;
  round: Round | null;
  roundVersion: number | null;
  keptAt: string | null;
  now: string;
}

const POLICY = `pool, policy, version, paused_by AS "pausedBy", paused_reason AS "pausedReason", seen_wanted AS "seenWanted",
  resized_at AS "resizedAt", site_number AS "siteNumber", site_number_at AS "siteNumberAt",
  site_number_problem AS "siteNumberProblem", round, round_version AS "roundVersion", kept_at AS "keptAt", ${NOW} AS now`;

export function listPolicies(sql: Sql, at: Date | null): Promise<PolicyRow[]> {
  return sql.query<PolicyRow>(`SELECT ${POLICY} FROM pool_policy ORDER BY pool`, [at]);
}

/** What the time is when there are policies; undefined when there are none. */
export async function readTimeOfPolicies(sql: Sql, at: Date | null): Promise<number | undefined> {
  const [row] = await sql.query<{ now: string }>(`SELECT ${NOW} AS now FROM pool_policy LIMIT 1`, [at]);
  return row === undefined ? undefined : Date.parse(row.now);
}

export async function readPolicy(sql: Sql, pool: string, at: Date | null): Promise<PolicyRow | undefined> {
  return (await sql.query<PolicyRow>(`SELECT ${POLICY} FROM pool_policy WHERE pool = $2`, [at, pool]))[0];
}

/** All, or one pool's, for the rest of the transaction this controller's alone. */
export function takePolicies(sql: Sql, pool: string | null, at: Date | null): Promise<PolicyRow[]> {
  return sql.query<PolicyRow>(
    `SELECT ${POLICY} FROM pool_policy WHERE $2::text IS NULL OR pool = $2 ORDER BY pool FOR UPDATE`,
    [at, pool],
  );
}

export async function storePolicy(sql: Sql, pool: string, policy: Policy, wanted: number): Promise<void> {
  await sql.query(
    `INSERT INTO pool_policy (pool, policy, seen_wanted) VALUES ($1, $2::jsonb, $3)
     ON CONFLICT (pool) DO UPDATE SET policy = $2::jsonb, version = pool_policy.version + 1`,
    [pool, toJsonValue(policy), wanted],
  );
}

/** False when there was none. */
export async function removePolicy(sql: Sql, pool: string): Promise<boolean> {
  return (await sql.query('DELETE FROM pool_policy WHERE pool = $1 RETURNING pool', [pool])).length > 0;
}

/** `by` null: goes on. False when the pool has no policy. */
export async function storePause(sql: Sql, pool: string, by: string | null, reason: string | null): Promise<boolean> {
  const rows = await sql.query(
    'UPDATE pool_policy SET paused_by = $2, paused_reason = $3 WHERE pool = $1 RETURNING pool',
    [pool, by, reason],
  );
  return rows.length > 0;
}

export async function storeSiteNumber(
  sql: Sql,
  pool: string,
  told: { value: number | null; problem: string | null },
  at: Date | null,
): Promise<void> {
  await sql.query(
    `UPDATE pool_policy SET site_number = $3, site_number_problem = $4, site_number_at = CASE WHEN $3::float8 IS NULL THEN site_number_at ELSE ${NOW} END
     WHERE pool = $2`,
    [at, pool, told.value, told.problem],
  );
}

export interface CastRound {
  pool: string;
  /** Of the policy by which it was decided. */
  version: number;
  round: Round;
  /** Into the history too. */
  keep: boolean;
  /** The size that the pool wants from now on. */
  wanted: number;
  resized: boolean;
  operation: string | null;
}

/** Keeps rounds as the pools' last ones, some in the history too, and what their hours needed. */
export async function storeRounds(sql: Sql, cast: readonly CastRound[], at: Date | null): Promise<void> {
  if (cast.length === 0) return;
  const told = `jsonb_to_recordset($2::jsonb) AS told(pool text, version int, round jsonb, keep boolean, wanted int, resized boolean, operation text)`;
  const values = [at, toJsonValue(cast)];
  await sql.query(
    `UPDATE pool_policy SET round = told.round, round_version = told.version, seen_wanted = told.wanted,
       resized_at = CASE WHEN told.resized THEN ${NOW} ELSE resized_at END, kept_at = CASE WHEN told.keep THEN ${NOW} ELSE kept_at END
     FROM ${told} WHERE pool_policy.pool = told.pool`,
    values,
  );
  if (cast.some(({ round }) => round.needed !== null)) {
    await sql.query(
      `INSERT INTO vote_hour (pool, hour, needed) SELECT pool, date_trunc('hour', ${NOW}), (round->>'needed')::int
       FROM ${told} WHERE round->>'needed' IS NOT NULL
       ON CONFLICT (pool, hour) DO UPDATE SET needed = excluded.needed WHERE vote_hour.needed < excluded.needed`,
      values,
    );
  }
  if (!cast.some(({ keep }) => keep)) return;
  const numbers = ['wanted', 'ready', 'booting', 'min', 'max', 'voters', 'grow', 'shrink', 'size', 'foretold'];
  await sql.query(
    `INSERT INTO vote_round (at, pool, operation, decision, reason, votes, ${numbers.join(', ')})
     SELECT ${NOW}, pool, operation, round->>'decision', round->>'reason', round->'votes',
       ${numbers.map((name) => `(round->>'${name}')::int`).join(', ')} FROM ${told} WHERE keep`,
    values,
  );
}

export interface RoundRow {
  at: string;
  wanted: number;
  ready: number;
  booting: number;
  min: number;
  max: number;
  voters: number;
  grow: number;
  shrink: number;
  decision: Decision;
  size: number;
  reason: string;
  foretold: number | null;
  operation: string | null;
  votes: NodeVote[];
}

/** Newest first, before a time. */
export function listRounds(
  sql: Sql,
  page: { pool: string; before: string | undefined; limit: number },
): Promise<RoundRow[]> {
  return sql.query<RoundRow>(
    `SELECT at, wanted, ready, booting, min, max, voters, grow, shrink, decision, size, reason, foretold, operation, votes
     FROM vote_round WHERE pool = $1 AND ($2::timestamptz IS NULL OR at < $2) ORDER BY at DESC LIMIT $3`,
    [page.pool, page.before ?? null, page.limit],
  );
}

/** What the hours of the last day needed and those of a week before, by pool and the begin of the hour (ms). */
export async function listHours(
  sql: Sql,
  pools: readonly string[],
  nowMs: number,
): Promise<Map<string, ReadonlyMap<number, number>>> {
  const rows = await sql.query<{ pool: string; hours: [number, number][] }>(
    `SELECT pool, jsonb_agg(jsonb_build_array(extract(epoch FROM hour) * 1000, needed)) AS hours FROM vote_hour
     WHERE pool = ANY($1) AND (hour >= $2 OR hour BETWEEN $3 AND $4) GROUP BY pool`,
    [[...pools], ...[1, 8, 6].map((days) => new Date(nowMs - (days * 24 + 1) * HOUR_MS))],
  );
  return new Map(rows.map(({ pool, hours }) => [pool, new Map(hours)]));
}

export async function removeOldHours(sql: Sql, beforeMs: number): Promise<void> {
  await sql.query('DELETE FROM vote_hour WHERE hour < $1', [new Date(beforeMs)]);
}

/** Stores what an agent tells of nodes; only of pools with a policy, and never what is older than what is known. */
export async function storeNodeSamples(sql: Sql, samples: readonly NodeSample[], at: Date | null): Promise<void> {
  if (samples.length === 0) return;
  await sql.query(
    `INSERT INTO node_sample (node, source, taken_at, figures)
     SELECT node.name, 'agent', ${NOW} - ((told->>'ageMs')::float8 * interval '1 ms'), told
     FROM jsonb_array_elements($2::jsonb) AS told
     JOIN node ON node.name = told->>'node' JOIN pool_policy ON pool_policy.pool = node.pool
     ON CONFLICT (node, source) DO UPDATE SET taken_at = excluded.taken_at, figures = excluded.figures
       WHERE node_sample.taken_at < excluded.taken_at`,
    // Of a node that two servers tell of at once, one.
    [at, toJsonValue([...new Map(samples.map((sample) => [sample.node, sample])).values()])],
  );
}

/** The same of what an edge has counted. */
export async function storeEdgeSample(sql: Sql, sample: EdgeSample, at: Date | null): Promise<void> {
  const pools = toJsonValue(sample.pools);
  const taken = `${NOW} - ($3::float8 * interval '1 ms')`;
  await sql.query(
    `INSERT INTO node_sample (node, source, taken_at, figures)
     SELECT node.name, 'edge:' || $4, ${taken}, counted
     FROM jsonb_array_elements($2::jsonb) AS told, jsonb_array_elements(told->'servers') AS counted
     JOIN node ON node.name = counted->>'node' JOIN pool_policy ON pool_policy.pool = node.pool
     ON CONFLICT (node, source) DO UPDATE SET taken_at = excluded.taken_at, figures = excluded.figures
       WHERE node_sample.taken_at < excluded.taken_at`,
    [at, pools, sample.ageMs, sample.edge],
  );
  await sql.query(
    `INSERT INTO pool_edge_sample (pool, edge, taken_at, requests, under_way, visited_at)
     -- A pool of two generations is told as two.
     SELECT pool_policy.pool, $4, ${taken}, sum((told->>'requests')::float8), sum((told->>'current')::float8), ${taken}
     FROM jsonb_array_elements($2::jsonb) AS told JOIN pool_policy ON pool_policy.pool = split_part(told->>'pool', '.', 1)
     GROUP BY pool_policy.pool
     ON CONFLICT (pool, edge) DO UPDATE SET taken_at = excluded.taken_at, under_way = excluded.under_way,
       visited_at = CASE WHEN pool_edge_sample.requests <> excluded.requests OR excluded.under_way > 0 THEN excluded.visited_at
         ELSE pool_edge_sample.visited_at END, requests = excluded.requests
       WHERE pool_edge_sample.taken_at < excluded.taken_at`,
    [at, pools, sample.ageMs, sample.edge],
  );
}

export interface SampleRow {
  node: string;
  source: string;
  takenAt: string;
  figures: Partial<Record<string, number>> & { missing?: Record<string, string> };
}

export function listSamples(sql: Sql, pools: readonly string[]): Promise<SampleRow[]> {
  return sql.query<SampleRow>(
    `SELECT node, source, taken_at AS "takenAt", figures FROM node_sample
     WHERE node IN (SELECT name FROM node WHERE pool = ANY($1)) ORDER BY node, source`,
    [[...pools]],
  );
}

export interface PoolSampleRow {
  pool: string;
  edge: string;
  takenAt: string;
  underWay: number;
  visitedAt: string;
}

export function listPoolSamples(sql: Sql, pools: readonly string[]): Promise<PoolSampleRow[]> {
  return sql.query<PoolSampleRow>(
    `SELECT pool, edge, taken_at AS "takenAt", under_way AS "underWay", visited_at AS "visitedAt" FROM pool_edge_sample
     WHERE pool = ANY($1)`,
    [[...pools]],
  );
}
