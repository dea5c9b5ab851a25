// The table `server`: its SQL and nobody else's.

import { type Sql, toJsonValue } from '../platform/store.ts';
import type { ServerLoad } from '../protocol/contract.ts';

export type ServerState = 'joining' | 'ready' | 'draining' | 'lost' | 'fenced';

export interface ServerRow {
  name: string;
  state: ServerState;
  reason: string;
  address: string;
  version: string;
  /** Servers of one domain fail together: a rack, a zone. Its own name unless told. */
  domain: string;
  /** Milliseconds since the last heartbeat by the database's clock; undefined before the first. */
  silentMs: number | undefined;
  load: ServerLoad | undefined;
  /** How far its clock was ahead of the database's at the last heartbeat (behind: negative); 0 before the first. */
  clockAheadMs: number;
}

const COLUMNS = `name, state, reason, address, version, coalesce(domain, name) AS domain, load, coalesce(clock_ahead_ms, 0) AS "clockAheadMs",
  (extract(epoch from now() - heartbeat_at) * 1000)::float8 AS "silentMs"`;

type Raw = Omit<ServerRow, 'silentMs' | 'load'> & { silentMs: number | null; load: ServerLoad | null };
const toServer = (row: Raw): ServerRow => ({
  ...row,
  silentMs: row.silentMs ?? undefined,
  load: row.load ?? undefined,
});

/** All servers by name. */
export async function listServers(sql: Sql): Promise<ServerRow[]> {
  return (await sql.query<Raw>(`SELECT ${COLUMNS} FROM server ORDER BY name`)).map(toServer);
}

export async function readServer(sql: Sql, name: string): Promise<ServerRow | undefined> {
  const [row] = await sql.query<Raw>(`SELECT ${COLUMNS} FROM server WHERE name = $1`, [name]);
  return row === undefined ? undefined : toServer(row);
}

/** Makes the server known, or brings it back to ready. */
export async function storeServer(
  sql: Sql,
  server: { name: string; state: ServerState; reason: string; address: string; version: string },
): Promise<void> {
  await sql.query(
    `INSERT INTO server (name, state, reason, address, version, heartbeat_at) VALUES ($1, $2, $3, $4, $5, now())
     ON CONFLICT (name) DO UPDATE SET state = $2, reason = $3, address = $4, version = $5, heartbeat_at = now()`,
    [server.name, server.state, server.reason, server.address, server.version],
  );
}

export async function storeHeartbeat(sql: Sql, name: string, load: ServerLoad): Promise<void> {
  await sql.query(
    `UPDATE server SET heartbeat_at = now(), load = $2::jsonb,
       clock_ahead_ms = $3 - extract(epoch from now()) * 1000 WHERE name = $1`,
    [name, toJsonValue(load), load.clockMs],
  );
}

/** Changes the state; true when it was another one before. */
export async function storeServerState(sql: Sql, name: string, state: ServerState, reason: string): Promise<boolean> {
  const rows = await sql.query(
    'UPDATE server SET state = $2, reason = $3 WHERE name = $1 AND state <> $2 RETURNING name',
    [name, state, reason],
  );
  return rows.length > 0;
}

/** Which servers fail together; null: it alone. False when there is no such server. */
export async function storeDomain(sql: Sql, name: string, domain: string | null): Promise<boolean> {
  return (await sql.query('UPDATE server SET domain = $2 WHERE name = $1 RETURNING name', [name, domain])).length > 0;
}

/** Forgets it. */
export async function deleteServer(sql: Sql, name: string): Promise<void> {
  await sql.query('DELETE FROM server WHERE name = $1', [name]);
}
