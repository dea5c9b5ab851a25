// The tables `edge` and `edge_address`: their SQL and nobody else's.
import type { Sql } from '../platform/store.ts';

/** The operations' lock on an edge, and the subject of its events. */
export const edgeLock = (edge: string): string => `edge:${edge}`;

/** creating: being made. ready: serves. unhealthy: its container does not run. deleting: nobody is sent there any more; it goes. */
export type EdgeState = 'creating' | 'ready' | 'unhealthy' | 'deleting';

export interface EdgeRow {
  name: string;
  server: string | null;
  address: string | null;
  state: EdgeState;
  reason: string;
  placement: string | null;
  listen: string;
  /** The server that a person chose for it. */
  wish: string | null;
  /** Whether its server has the address that edges share, and since when that is so. */
  holds: boolean;
  holdsSince: string | null;
  /** Its server is emptied: another one holds the shared address while one can. */
  yields: boolean;
  createdAt: string;
}

const EDGE = `name, server, address, state, reason, placement, listen, wish, holds, holds_since AS "holdsSince", yields,
  created_at AS "createdAt"`;

export function listEdges(sql: Sql): Promise<EdgeRow[]> {
  return sql.query<EdgeRow>(`SELECT ${EDGE} FROM edge ORDER BY name`);
}

/** Those that are there to stay. */
export async function listLastingEdges(sql: Sql): Promise<EdgeRow[]> {
  return (await listEdges(sql)).filter(({ state }) => state !== 'deleting');
}

export async function readEdge(sql: Sql, name: string): Promise<EdgeRow | undefined> {
  return (await sql.query<EdgeRow>(`SELECT ${EDGE} FROM edge WHERE name = $1`, [name]))[0];
}

export async function insertEdge(sql: Sql, edge: { name: string; listen: string; reason: string }): Promise<void> {
  await sql.query(
    `INSERT INTO edge (name, listen, state, reason) VALUES ($1, $2, 'creating', $3) ON CONFLICT (name) DO NOTHING`,
    [edge.name, edge.listen, edge.reason],
  );
}

export async function storeEdgePlace(
  sql: Sql,
  name: string,
  place: { server: string; address: string; placement: string },
): Promise<void> {
  await sql.query('UPDATE edge SET server = $2, address = $3, placement = $4 WHERE name = $1', [
    name,
    place.server,
    place.address,
    place.placement,
  ]);
}

export async function storeEdgeWish(sql: Sql, name: string, server: string): Promise<void> {
  await sql.query('UPDATE edge SET wish = $2 WHERE name = $1', [name, server]);
}

/** Changes the state; true when it was another one before. */
export async function storeEdgeState(sql: Sql, name: string, state: EdgeState, reason: string): Promise<boolean> {
  const rows = await sql.query(
    'UPDATE edge SET state = $2, reason = $3 WHERE name = $1 AND state <> $2 RETURNING name',
    [name, state, reason],
  );
  return rows.length > 0;
}

export async function deleteEdge(sql: Sql, name: string): Promise<void> {
  await sql.query('DELETE FROM edge WHERE name = $1', [name]);
}

/** Whether it holds the shared address; true when that was otherwise before. */
export async function storeHolds(sql: Sql, name: string, holds: boolean): Promise<boolean> {
  const rows = await sql.query(
    'UPDATE edge SET holds = $2, holds_since = clock_timestamp() WHERE name = $1 AND holds <> $2 RETURNING name',
    [name, holds],
  );
  return rows.length > 0;
}

/** Whether the edges of a server leave the shared address to others; true when that was otherwise before. */
export async function storeYields(sql: Sql, server: string, yields: boolean): Promise<boolean> {
  const rows = await sql.query('UPDATE edge SET yields = $2 WHERE server = $1 AND yields <> $2 RETURNING name', [
    server,
    yields,
  ]);
  return rows.length > 0;
}

export async function deleteAllEdges(sql: Sql): Promise<void> {
  await sql.query('DELETE FROM edge_address');
  await sql.query('DELETE FROM edge');
}

/** The address that all edges share. */
export interface EdgeAddressRow {
  address: string;
  httpPort: number;
  httpsPort: number;
  routerId: number;
}

export async function readEdgeAddress(sql: Sql): Promise<EdgeAddressRow | undefined> {
  const [row] = await sql.query<EdgeAddressRow>(
    'SELECT address, http_port AS "httpPort", https_port AS "httpsPort", router_id AS "routerId" FROM edge_address',
  );
  return row;
}

/** Sets it, or takes it away. */
export async function storeEdgeAddress(sql: Sql, row: EdgeAddressRow | undefined): Promise<void> {
  await sql.query('DELETE FROM edge_address');
  if (row === undefined) return;
  await sql.query('INSERT INTO edge_address (address, http_port, https_port, router_id) VALUES ($1, $2, $3, $4)', [
    row.address,
    row.httpPort,
    row.httpsPort,
    row.routerId,
  ]);
}
