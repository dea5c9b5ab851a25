// The tables `pool` and `node`: their SQL and nobody else's.
import { type Sql, toJsonValue } from '../platform/store.ts';
import type { Generation } from './generations.ts';

/** staging: its only node is a seed, on which a copy of a site lives; nobody heals, scales or rolls it. */
export type PoolState = 'creating' | 'ready' | 'deleting' | 'staging';
/** booting: being made. ready: serves. draining: leaving. unhealthy: does not answer. lost: its server is lost. */
export type NodeState = 'booting' | 'ready' | 'draining' | 'unhealthy' | 'lost';

/** What one node may use at most; what is not named is not limited. `cpus` may be a fraction. */
export interface NodeLimits {
  cpus?: number | undefined;
  memoryMb?: number | undefined;
  processes?: number | undefined;
  diskGib?: number | undefined;
}

export interface PoolRow {
  name: string;
  app: string;
  kind: 'shared' | 'dedicated';
  /** The id of the only site that may live on a dedicated pool; null of shared ones, and when that site is gone. */
  dedicatedTo: string | null;
  limits: NodeLimits;
  /** The pool whose tasks its nodes run, taking no visitors; null of pools that serve. */
  worksFor: string | null;
  imageNumber: number;
  wanted: number;
  /** The number of its own generation (generations.ts), and of the other one while it has two. */
  generation: number;
  otherGeneration: number | null;
  otherImage: number | null;
  otherWanted: number | null;
  maxSites: number;
  nodeMemoryMb: number;
  /** The first id of its content's owners in the shared folder; null: its content is a volume of one server. */
  contentBase: number | null;
  /** The server that was chosen for that volume. */
  home: string | null;
  /** Which node goes first when it shrinks. */
  leaves: 'oldest' | 'emptiest-server';
  /** It may have no node at all: the edge holds its first visitors while one starts. */
  holds: boolean;
  state: PoolState;
  createdAt: string;
}

export interface NodeRow {
  name: string;
  pool: string;
  /** The pool whose sites it has: its own, or the one that it works for. */
  sitesOf: string;
  /** Of that pool: whose sites it has. */
  generation: number;
  server: string | null;
  address: string | null;
  imageNumber: number;
  state: NodeState;
  atEdge: boolean;
  reason: string;
  /** Why it is on that server. */
  placement: string | null;
  stateSince: string;
  stateAgeMs: number;
  createdAt: string;
}

const POOL = `name, app, kind, dedicated_to AS "dedicatedTo", limits, works_for AS "worksFor", image_number AS "imageNumber", wanted, generation,
   other_generation AS "otherGeneration", other_image AS "otherImage", other_wanted AS "otherWanted", max_sites AS "maxSites",
  node_memory_mb AS "nodeMemoryMb", content_base AS "contentBase", home, leaves, holds, state, created_at AS "createdAt"`;
const NODE = `name, pool, (SELECT coalesce(works_for, pool.name) FROM pool WHERE pool.name = node.pool) AS "sitesOf", generation, server, address, image_number AS "imageNumber", state, at_edge AS "atEdge", reason, placement,
  state_since AS "stateSince", (extract(epoch from now() - state_since) * 1000)::float8 AS "stateAgeMs", created_at AS "createdAt"`;

export function listPools(sql: Sql): Promise<PoolRow[]> {
  return sql.query<PoolRow>(`SELECT ${POOL} FROM pool ORDER BY name`);
}

export async function readPool(sql: Sql, name: string): Promise<PoolRow | undefined> {
  return (await sql.query<PoolRow>(`SELECT ${POOL} FROM pool WHERE name = $1`, [name]))[0];
}

export async function insertPool(
  sql: Sql,
  pool: Pick<
    PoolRow,
    | 'name'
    | 'app'
    | 'kind'
    | 'dedicatedTo'
    | 'limits'
    | 'worksFor'
    | 'imageNumber'
    | 'wanted'
    | 'maxSites'
    | 'nodeMemoryMb'
  >,
): Promise<void> {
  await sql.query(
    // Workers are of the generation of those that they work for.
    `INSERT INTO pool (name, app, kind, works_for, image_number, wanted, max_sites, node_memory_mb, dedicated_to, limits, state, generation)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, 'creating',
       coalesce((SELECT generation FROM pool WHERE name = $4), 0))`,
    [
      ...[pool.name, pool.app, pool.kind, pool.worksFor, pool.imageNumber, pool.wanted, pool.maxSites],
      ...[pool.nodeMemoryMb, pool.dedicatedTo, toJsonValue(pool.limits)],
    ],
  );
}

/** Where its volume is to lie. */
export async function storePoolHome(sql: Sql, name: string, server: string): Promise<void> {
  await sql.query('UPDATE pool SET home = $2 WHERE name = $1', [name, server]);
}

/** How it shrinks, and whether it may shrink to nothing. */
export async function storePoolLeaving(
  sql: Sql,
  name: string,
  change: Pick<PoolRow, 'leaves' | 'holds'>,
): Promise<void> {
  await sql.query('UPDATE pool SET leaves = $2, holds = $3 WHERE name = $1', [name, change.leaves, change.holds]);
}

export async function storePoolState(sql: Sql, name: string, state: PoolState): Promise<void> {
  await sql.query('UPDATE pool SET state = $2 WHERE name = $1', [name, state]);
}

/** Its other generation, while it has one, grows and shrinks by as much. */
export async function storePoolWanted(sql: Sql, name: string, wanted: number): Promise<void> {
  await sql.query(
    `UPDATE pool SET wanted = $2::int, other_wanted = CASE WHEN wanted = 0 OR other_wanted = 0 THEN other_wanted
       ELSE ceil(other_wanted * $2::int / wanted::float8)::int END WHERE name = $1`,
    [name, wanted],
  );
}

/** Gives a pool its second generation, or changes it; null takes it away. */
export async function storeOtherGeneration(sql: Sql, name: string, other: Generation | null): Promise<void> {
  await sql.query('UPDATE pool SET other_generation = $2, other_image = $3, other_wanted = $4 WHERE name = $1', [
    name,
    other?.generation ?? null,
    other?.imageNumber ?? null,
    other?.wanted ?? null,
  ]);
}

/** How many nodes one generation of a pool wants, without touching the other's. */
export async function storeGenerationWanted(sql: Sql, name: string, generation: number, wanted: number): Promise<void> {
  await sql.query(
    `UPDATE pool SET wanted = CASE WHEN generation = $2 THEN $3::int ELSE wanted END,
       other_wanted = CASE WHEN other_generation = $2 THEN $3::int ELSE other_wanted END WHERE name = $1`,
    [name, generation, wanted],
  );
}

/** The other generation becomes the pool's own, as large as that one was, and its own the other one, of another size. */
export async function exchangeGenerations(sql: Sql, name: string, otherWanted: number): Promise<void> {
  await sql.query(
    `UPDATE pool SET generation = other_generation, image_number = other_image, other_generation = generation,
       other_image = image_number, other_wanted = $2 WHERE name = $1 AND other_generation IS NOT NULL`,
    [name, otherWanted],
  );
}

export async function storePoolLimits(sql: Sql, name: string, limits: NodeLimits): Promise<void> {
  await sql.query('UPDATE pool SET limits = $2::jsonb WHERE name = $1', [name, toJsonValue(limits)]);
}

/** What new nodes are made from. */
export async function storePoolImage(sql: Sql, name: string, imageNumber: number): Promise<void> {
  await sql.query('UPDATE pool SET image_number = $2 WHERE name = $1', [name, imageNumber]);
}

/** False when there is no such pool. */
export async function storePoolMaxSites(sql: Sql, name: string, maxSites: number): Promise<boolean> {
  return (
    (await sql.query('UPDATE pool SET max_sites = $2 WHERE name = $1 RETURNING name', [name, maxSites])).length > 0
  );
}

export async function deletePool(sql: Sql, name: string): Promise<void> {
  await sql.query('DELETE FROM pool WHERE name = $1', [name]);
}

export function listNodes(
  sql: Sql,
  where: { pool?: string; server?: string; sitesOf?: string } = {},
): Promise<NodeRow[]> {
  return sql.query<NodeRow>(
    `SELECT ${NODE} FROM node
     WHERE ($1::text IS NULL OR pool = $1) AND ($2::text IS NULL OR server = $2)
       AND ($3::text IS NULL OR pool IN (SELECT pool.name FROM pool WHERE coalesce(works_for, pool.name) = $3))
     ORDER BY pool, created_at, name`,
    [where.pool ?? null, where.server ?? null, where.sitesOf ?? null],
  );
}

/** Those on any of these servers. */
export function listNodesOn(sql: Sql, servers: readonly string[]): Promise<NodeRow[]> {
  return sql.query<NodeRow>(`SELECT ${NODE} FROM node WHERE server = ANY($1) ORDER BY pool, created_at, name`, [
    [...servers],
  ]);
}

/** Those that count as unhealthy, and those of the given names. */
export function listSuspects(sql: Sql, names: readonly string[]): Promise<NodeRow[]> {
  return sql.query<NodeRow>(`SELECT ${NODE} FROM node WHERE state = 'unhealthy' OR name = ANY($1)`, [[...names]]);
}

/** What the edges know: the nodes that have an address and that they shall know, by pool. Of tens of thousands only what they need. */
export async function listNodesAtEdge(
  sql: Sql,
): Promise<Map<string, { name: string; generation: number; address: string; state: NodeState }[]>> {
  const rows = await sql.query<{ name: string; pool: string; generation: number; address: string; state: NodeState }>(
    `SELECT name, pool, generation, address, state FROM node WHERE at_edge AND address IS NOT NULL
     ORDER BY pool, created_at, name`,
  );
  return Map.groupBy(rows, ({ pool }) => pool);
}

/** The image of each node, as `app/number`. */
export function listNodeImages(sql: Sql): Promise<{ node: string; image: string }[]> {
  return sql.query(
    `SELECT node.name AS node, pool.app || '/' || node.image_number AS image
     FROM node JOIN pool ON pool.name = node.pool ORDER BY node.name`,
  );
}

export async function readNode(sql: Sql, name: string): Promise<NodeRow | undefined> {
  return (await sql.query<NodeRow>(`SELECT ${NODE} FROM node WHERE name = $1`, [name]))[0];
}

export async function insertNode(
  sql: Sql,
  node: { name: string; pool: string; imageNumber: number; generation: number; reason: string },
): Promise<void> {
  await sql.query(
    `INSERT INTO node (name, pool, image_number, generation, state, reason) VALUES ($1, $2, $3, $4, 'booting', $5)
     ON CONFLICT (name) DO NOTHING`,
    [node.name, node.pool, node.imageNumber, node.generation, node.reason],
  );
}

export async function storeNodePlace(
  sql: Sql,
  name: string,
  place: { server: string; address: string; placement: string },
): Promise<void> {
  await sql.query('UPDATE node SET server = $2, address = $3, placement = $4 WHERE name = $1', [
    name,
    place.server,
    place.address,
    place.placement,
  ]);
}

/** Changes a node's state from one of `from`; false when it was in none of them. */
export async function storeNodeState(
  sql: Sql,
  name: string,
  change: { from: readonly NodeState[]; to: NodeState; atEdge: boolean; reason: string },
): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE node SET state = $2, at_edge = $3, reason = $4, state_since = CASE WHEN state = $2 THEN state_since ELSE now() END
     WHERE name = $1 AND state = ANY($5) RETURNING name`,
    [name, change.to, change.atEdge, change.reason, [...change.from]],
  );
  return rows.length > 0;
}

/** Whether the edges know the nodes on a server, all at once. */
export async function storeNodesAtEdge(
  sql: Sql,
  server: string,
  { atEdge, reason }: { atEdge: boolean; reason: string },
): Promise<void> {
  await sql.query(`UPDATE node SET at_edge = $2, reason = $3 WHERE server = $1 AND state = 'ready' AND at_edge <> $2`, [
    server,
    atEdge,
    reason,
  ]);
}

/** How many nodes of a pool each server has. */
export async function countNodesOn(sql: Sql, pool: string): Promise<Map<string, number>> {
  const rows = await sql.query<{ server: string; count: number }>(
    'SELECT server, count(*) AS count FROM node WHERE pool = $1 AND server IS NOT NULL GROUP BY server',
    [pool],
  );
  return new Map(rows.map(({ server, count }) => [server, count]));
}

/** How many nodes boot on each server; null: those that have none yet. */
export async function countBooting(sql: Sql): Promise<Map<string | null, number>> {
  const rows = await sql.query<{ server: string | null; count: number }>(
    `SELECT server, count(*) AS count FROM node WHERE state = 'booting' GROUP BY server`,
  );
  return new Map(rows.map(({ server, count }) => [server, count]));
}

export async function deleteNodes(sql: Sql, ...names: readonly string[]): Promise<void> {
  await sql.query('DELETE FROM node WHERE name = ANY($1)', [[...names]]);
}

export async function deleteAllPools(sql: Sql): Promise<void> {
  await sql.query('DELETE FROM node');
  await sql.query('DELETE FROM pool');
}
