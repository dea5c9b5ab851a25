// The table `server`: its SQL and nobody else's.

import { type Sql, toJsonValue } from '../platform/store.ts';
import type { ServerLoad } from '../protocol/contract.ts';

/**
 * joining: let in, its agent not heard yet. ready, draining: it is heard. lost: its agent is silent; nothing new comes to it, and
 * nothing of it is made anew. fenced: nobody hears it, so it is kept from the databases and the edges; when its fence stands
 * everywhere, what can be is made anew elsewhere. back: it is heard after that, and what it must not run any more is removed.
 */
export type ServerState = 'joining' | 'ready' | 'draining' | 'lost' | 'fenced' | 'back';
/** Others neither send to these nor take from them. */
export const isApart = (state: ServerState): boolean => state === 'fenced' || state === 'back';

export interface ServerRow {
  name: string;
  state: ServerState;
  reason: string;
  address: string;
  version: string;
  /** Servers of one domain fail together: a rack, a zone. Its own name unless told. */
  domain: string;
  /** While it is lost: another server hears it, or there is no other; its agent lives and ends its runs by their leases. */
  alive: boolean;
  /** Its agent is heard, and its engine answers none of the others: nothing can be made there. */
  isEngineSilent: boolean;
  /** Its fence stands at every database and cache. */
  isFenceUp: boolean;
  /** What it is again after it was lost. */
  returnsTo: 'ready' | 'draining';
  /** While it is fenced: what cannot be made anew elsewhere, with the reason. */
  left: string[];
  /** Milliseconds since the last heartbeat by the database's clock; undefined before the first. */
  silentMs: number | undefined;
  load: ServerLoad | undefined;
  /** How far its clock was ahead of the database's at the last heartbeat (behind: negative); 0 before the first. */
  clockAheadMs: number;
}

const COLUMNS = `name, state, reason, address, version, coalesce(domain, name) AS domain, load, coalesce(clock_ahead_ms, 0) AS "clockAheadMs",
  alive, engine_silent AS "isEngineSilent", fenced_at IS NOT NULL AS "isFenceUp", returns_to AS "returnsTo", left_behind AS "left",
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

/** False when there is no such server, or it is fenced: an agent that was frozen may still speak over its old connection. */
export async function storeHeartbeat(sql: Sql, name: string, load: ServerLoad): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE server SET heartbeat_at = now(), load = $2::jsonb,
       clock_ahead_ms = $3 - extract(epoch from now()) * 1000 WHERE name = $1 AND state <> 'fenced' RETURNING name`,
    [name, toJsonValue(load), load.clockMs],
  );
  return rows.length > 0;
}

/** Changes the state; true when it was another one before. */
export async function storeServerState(sql: Sql, name: string, state: ServerState, reason: string): Promise<boolean> {
  const rows = await sql.query(
    'UPDATE server SET state = $2, reason = $3 WHERE name = $1 AND state <> $2 RETURNING name',
    [name, state, reason],
  );
  return rows.length > 0;
}

/** A server that was heard is silent; true when it was ready or draining before. */
export async function storeLost(sql: Sql, name: string, reason: string): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE server SET state = 'lost', returns_to = state, reason = $2, alive = false, engine_silent = false
     WHERE name = $1 AND state IN ('ready', 'draining') RETURNING name`,
    [name, reason],
  );
  return rows.length > 0;
}

/** What is known of a server that is lost, and why it is left as it is. */
export async function storeSuspicion(
  sql: Sql,
  name: string,
  { alive, reason }: { alive: boolean; reason: string },
): Promise<void> {
  await sql.query(
    `UPDATE server SET alive = $2, reason = $3 WHERE name = $1 AND state = 'lost' AND (alive, reason) <> ($2, $3)`,
    [name, alive, reason],
  );
}

/** A lost server is heard again before it was fenced, or a fenced one is clean: it is what it was. */
export async function storeReturn(
  sql: Sql,
  name: string,
  { from, reason }: { from: 'lost' | 'back'; reason: string },
): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE server SET state = returns_to, reason = $3, alive = false, fenced_at = NULL, left_behind = '[]'
     WHERE name = $1 AND state = $2 RETURNING name`,
    [name, from, reason],
  );
  return rows.length > 0;
}

/** Whether the engine of a server that is heard answers the others; true when that is another answer than before. */
export async function storeEngineSilence(
  sql: Sql,
  name: string,
  { isSilent, reason }: { isSilent: boolean; reason: string },
): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE server SET engine_silent = $2, reason = $3
     WHERE name = $1 AND state IN ('ready', 'draining') AND engine_silent <> $2 RETURNING name`,
    [name, isSilent, reason],
  );
  return rows.length > 0;
}

/** Its fence stands. */
export async function storeFenceUp(sql: Sql, name: string, left: readonly string[]): Promise<void> {
  await sql.query(
    `UPDATE server SET fenced_at = coalesce(fenced_at, now()), left_behind = $2::jsonb WHERE name = $1 AND state = 'fenced'`,
    [name, toJsonValue(left)],
  );
}

/** Which servers fail together; null: it alone. False when there is no such server. */
export async function storeDomain(sql: Sql, name: string, domain: string | null): Promise<boolean> {
  return (await sql.query('UPDATE server SET domain = $2 WHERE name = $1 RETURNING name', [name, domain])).length > 0;
}

/** Forgets it. */
export async function deleteServer(sql: Sql, name: string): Promise<void> {
  await sql.query('DELETE FROM server WHERE name = $1', [name]);
}
