// The table `edge`: its SQL and nobody else's.
import type { Sql } from '../platform/store.ts';

/** creating: being made. ready: serves. unhealthy: its container does not run. */
export type EdgeState = 'creating' | 'ready' | 'unhealthy';

export interface EdgeRow {
  name: string;
  server: string | null;
  address: string | null;
  state: EdgeState;
  reason: string;
  placement: string | null;
  listen: string;
  createdAt: string;
}

const EDGE = 'name, server, address, state, reason, placement, listen, created_at AS "createdAt"';

export function listEdges(sql: Sql): Promise<EdgeRow[]> {
  return sql.query<EdgeRow>(`SELECT ${EDGE} FROM edge ORDER BY name`);
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

export async function deleteAllEdges(sql: Sql): Promise<void> {
  await sql.query('DELETE FROM edge');
}
