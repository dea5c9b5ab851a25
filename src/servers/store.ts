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

/** What a server is when nothing is wrong with it. */
export const toWell = ({ drainReason }: Pick<ServerRow, 'drainReason'>): ServerState =>
  drainReason === null ? 'ready' : 'draining';

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
  /** While it is fenced: what cannot be made anew elsewhere, with the reason. */
  left: string[];
  /** Milliseconds since the last heartbeat by the database's clock; undefined before the first. */
  silentMs: number | undefined;
  load: ServerLoad | undefined;
  /** Why it is being emptied, or has been; null: it is not. Holds also while it is lost. */
  drainReason: string | null;
  /** How far its clock was ahead of the database's at the last heartbeat (behind: negative); 0 before the first. */
  clockAheadMs: number;
}

const COLUMNS = `name, state, reason, address, version, coalesce(domain, name) AS domain, load, coalesce(clock_ahead_ms, 0) AS "clockAheadMs",
  alive, engine_silent AS "isEngineSilent", fenced_at IS NOT NULL AS "isFenceUp", drain_reason AS "drainReason", left_behind AS "left",
  (extract(epoch from now() - heartbeat_at) * 1000)::float8 AS "silentMs"`;

type Raw = Omit<ServerRow, 'silentMs' | 'load'> & { silentMs: number | null; load: ServerLoad | null };
const toServer = (row: Raw): ServerRow => ({
  ...row,
  silentMs: row.silentMs ?? undefined,
  load: row.load ?? undefined,
});

/** All servers by name. As one value: a thousand rows by themselves cost several times as much, and every placement reads them. */
export async function listServers(sql: Sql): Promise<ServerRow[]> {
  const [row] = await sql.query<{ servers: Raw[] | null }>(
    `SELECT json_agg(one) AS servers FROM (SELECT ${COLUMNS} FROM server ORDER BY name) AS one`,
  );
  return (row?.servers ?? []).map(toServer);
}

/** The names of those that are apart. */
export async function listApart(sql: Sql): Promise<Set<string>> {
  const rows = await sql.query<{ name: string; state: ServerState }>(
    `SELECT name, state FROM server WHERE state NOT IN ('ready', 'draining')`,
  );
  return new Set(rows.flatMap(({ name, state }) => (isApart(state) ? [name] : [])));
}

/** The states of these servers; of unknown ones none. */
export async function listStates(sql: Sql, names: readonly string[]): Promise<Map<string, ServerState>> {
  const rows = await sql.query<{ name: string; state: ServerState }>(
    'SELECT name, state FROM server WHERE name = ANY ($1::text[])',
    [names],
  );
  return new Map(rows.map(({ name, state }) => [name, state]));
}

export async function readServer(sql: Sql, name: string): Promise<ServerRow | undefined> {
  const [row] = await sql.query<Raw>(`SELECT ${COLUMNS} FROM server WHERE name = $1`, [name]);
  return row === undefined ? undefined : toServer(row);
}

/** Whether a container there stays where it is until the server is back and cleaned: nobody can reach it. */
export async function isOutOfReach(sql: Sql, server: string | null | undefined): Promise<boolean> {
  if (server == null) return false;
  const row = await readServer(sql, server);
  return row !== undefined && isApart(row.state);
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

/**
 * The heartbeats that came together, one a server. Gives the servers that count as heard: not one that is unknown or fenced, since an
 * agent that was frozen may still speak over its old connection.
 */
export async function storeHeartbeats(
  sql: Sql,
  beats: readonly { server: string; load: ServerLoad }[],
): Promise<ReadonlySet<string>> {
  const rows = await sql.query<{ name: string }>(
    `UPDATE server SET heartbeat_at = now(), load = beat.load,
       clock_ahead_ms = (beat.load->>'clockMs')::float8 - extract(epoch from now()) * 1000
     FROM unnest($1::text[], $2::jsonb[]) AS beat (server, load) WHERE name = beat.server AND state <> 'fenced' RETURNING name`,
    [beats.map(({ server }) => server), beats.map(({ load }) => toJsonValue(load))],
  );
  return new Set(rows.map(({ name }) => name));
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

/** A server that was heard is silent; true when it was ready or draining before. */
export async function storeLost(sql: Sql, name: string, reason: string): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE server SET state = 'lost', reason = $2, alive = false, engine_silent = false
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

/** A lost server is heard again before it was fenced, or a fenced one is clean: it is ready, or still being emptied. */
export async function storeReturn(
  sql: Sql,
  name: string,
  { from, reason }: { from: 'lost' | 'back'; reason: string },
): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE server SET state = ${renderState("'ready'")}, reason = ${renderReason("'ready'", '$3::text')}, alive = false,
       fenced_at = NULL, left_behind = '[]'
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

/** Where others reach it. */
export async function storeServerAddress(sql: Sql, name: string, address: string): Promise<void> {
  await sql.query('UPDATE server SET address = $2 WHERE name = $1', [name, address]);
}

/** Forgets it. */
export async function deleteServer(sql: Sql, name: string): Promise<void> {
  await sql.query('DELETE FROM server WHERE name = $1', [name]);
}
