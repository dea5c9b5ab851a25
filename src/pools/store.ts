// The tables `pool` and `node`: their SQL and nobody else's.
import type { Sql } from '../platform/store.ts';

export type PoolState = 'creating' | 'ready' | 'deleting';
/** booting: being made. ready: serves. draining: leaving. unhealthy: does not answer. lost: its server is lost. */
export type NodeState = 'booting' | 'ready' | 'draining' | 'unhealthy' | 'lost';

export interface PoolRow {
  name: string;
  app: string;
  kind: 'shared' | 'dedicated';
  /** The pool whose tasks its nodes run, taking no visitors; null of pools that serve. */
  worksFor: string | null;
  imageNumber: number;
  wanted: number;
  maxSites: number;
  nodeMemoryMb: number;
  /** The first id of its content's owners in the shared folder; null: its content is a volume of one server. */
  contentBase: number | null;
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

const POOL = `name, app, kind, works_for AS "worksFor", image_number AS "imageNumber", wanted, max_sites AS "maxSites",
  node_memory_mb AS "nodeMemoryMb", content_base AS "contentBase", leaves, holds, state, created_at AS "createdAt"`;
const NODE = `name, pool, (SELECT coalesce(works_for, pool.name) FROM pool WHERE pool.name = node.pool) AS "sitesOf", server, address, image_number AS "imageNumber", state, at_edge AS "atEdge", reason, placement,
  state_since AS "stateSince", (extract(epoch from now() - state_since) * 1000)::float8 AS "stateAgeMs", created_at AS "createdAt"`;

export function listPools(sql: Sql): Promise<PoolRow[]> {
  return sql.query<PoolRow>(`SELECT ${POOL} FROM pool ORDER BY name`);
}

export async function readPool(sql: Sql, name: string): Promise<PoolRow | undefined> {
  return (await sql.query<PoolRow>(`SELECT ${POOL} FROM pool WHERE name = $1`, [name]))[0];
}

export async function insertPool(
  sql: Sql,
  pool: Pick<PoolRow, 'name' | 'app' | 'kind' | 'worksFor' | 'imageNumber' | 'wanted' | 'maxSites' | 'nodeMemoryMb'>,
): Promise<void> {
  await sql.query(
    `INSERT INTO pool (name, app, kind, works_for, image_number, wanted, max_sites, node_memory_mb, state)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'creating')`,
    [pool.name, pool.app, pool.kind, pool.worksFor, pool.imageNumber, pool.wanted, pool.maxSites, pool.nodeMemoryMb],
  );
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

export async function storePoolWanted(sql: Sql, name: string, wanted: number): Promise<void> {
  await sql.query('UPDATE pool SET wanted = $2 WHERE name = $1', [name, wanted]);
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
  node: { name: string; pool: string; imageNumber: number; reason: string },
): Promise<void> {
  await sql.query(
    `INSERT INTO node (name, pool, image_number, state, reason) VALUES ($1, $2, $3, 'booting', $4)
     ON CONFLICT (name) DO NOTHING`,
    [node.name, node.pool, node.imageNumber, node.reason],
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

export async function deleteNode(sql: Sql, name: string): Promise<void> {
  await sql.query('DELETE FROM node WHERE name = $1', [name]);
}

export async function deleteAllPools(sql: Sql): Promise<void> {
  await sql.query('DELETE FROM node');
  await sql.query('DELETE FROM pool');
}
