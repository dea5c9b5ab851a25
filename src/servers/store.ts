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
  /** Why it is being emptied, or has been; null: it is not. Holds also while it is lost. */
  drainReason: string | null;
  /** How far its clock was ahead of the database's at the last heartbeat (behind: negative); 0 before the first. */
  clockAheadMs: number;
}

const COLUMNS = `name, state, reason, address, version, coalesce(domain, name) AS domain, load, drain_reason AS "drainReason",
  coalesce(clock_ahead_ms, 0) AS "clockAheadMs",
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

/** One that is being emptied is `draining` where another would be `ready`, whoever finds it well again. */
const renderState = (given: string): string =>
  `CASE WHEN ${given} = 'ready' AND server.drain_reason IS NOT NULL THEN 'draining' ELSE ${given} END`;
const renderReason = (state: string, given: string): string =>
  `CASE WHEN ${state} = 'ready' THEN coalesce(server.drain_reason, ${given}) ELSE ${given} END`;

/** Makes the server known, or brings it back to ready. */
export async function storeServer(
  sql: Sql,
  server: { name: string; state: ServerState; reason: string; address: string; version: string },
): Promise<void> {
  await sql.query(
    `INSERT INTO server (name, state, reason, address, version, heartbeat_at) VALUES ($1, $2, $3, $4, $5, now())
     ON CONFLICT (name) DO UPDATE SET state = ${renderState('$2')}, reason = ${renderReason('$2', '$3')}, address = $4,
       version = $5, heartbeat_at = now()`,
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

/** Changes the state; true when it was another one before. A `ready` server that is being emptied is `draining`. */
export async function storeServerState(sql: Sql, name: string, state: ServerState, reason: string): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE server SET state = ${renderState('$2::text')}, reason = ${renderReason('$2::text', '$3::text')}
     WHERE name = $1 AND state <> ${renderState('$2::text')} RETURNING name`,
    [name, state, reason],
  );
  return rows.length > 0;
}

/**
 * From now on it takes nothing new (a reason), or it does again (null). One that is lost or fenced stays so for now; true when
 * something changed.
 */
export async function storeDraining(sql: Sql, name: string, drainReason: string | null, why: string): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE server SET drain_reason = $2::text,
       state = CASE WHEN state NOT IN ('ready', 'draining') THEN state WHEN $2::text IS NULL THEN 'ready' ELSE 'draining' END,
       reason = CASE WHEN state IN ('ready', 'draining') THEN $3 ELSE reason END
     WHERE name = $1 AND drain_reason IS DISTINCT FROM $2::text RETURNING name`,
    [name, drainReason, why],
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
