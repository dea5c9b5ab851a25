// The tables `controller` and `controller_token`: their SQL and nobody else's. Who leads is platform/leadership.ts's.
import { readLeader } from '../platform/leadership.ts';
import type { Sql } from '../platform/store.ts';
import { readCluster } from '../servers/cluster-store.ts';

export interface ControllerRow {
  id: string;
  /** Its server. */
  name: string;
  /** Where agents and other controllers reach it while it leads; null while the deployment is one server. */
  address: string | null;
  port: number | null;
  version: string;
  startedAt: string;
  /** Since it was last seen, by the database's clock. */
  silentMs: number;
}

export interface ControllerTokenRow {
  id: string;
  server: string;
  expired: boolean;
  used: boolean;
}

const COLUMNS = `id, name, address, port, version, started_at AS "startedAt",
  (extract(epoch FROM clock_timestamp() - seen_at) * 1000)::float8 AS "silentMs"`;

/** All controllers, the eldest first. */
export async function listControllers(sql: Sql): Promise<ControllerRow[]> {
  return await sql.query<ControllerRow>(`SELECT ${COLUMNS} FROM controller ORDER BY started_at, id`);
}

/** The server whose controller decides now; undefined while the deployment is one server. */
export async function readLeadingServer(sql: Sql): Promise<string | undefined> {
  const cluster = await readCluster(sql);
  if (cluster === undefined) return undefined;
  const leader = await readLeader(sql);
  return (await listControllers(sql)).find(({ id }) => id === leader?.id)?.name ?? cluster.server;
}

/** Where agents find them, `HOST:PORT`. */
export async function listControllerDoors(sql: Sql): Promise<string[]> {
  return (await listControllers(sql)).flatMap(({ address, port }) => (address === null ? [] : [`${address}:${port}`]));
}

/** Makes it known, or says that it still is there. */
export async function noteController(
  sql: Sql,
  row: Pick<ControllerRow, 'id' | 'name' | 'address' | 'port' | 'version'>,
): Promise<void> {
  await sql.query(
    `INSERT INTO controller (id, name, address, port, version) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (id) DO UPDATE SET name = $2, address = $3, port = $4, version = $5, seen_at = clock_timestamp()`,
    [row.id, row.name, row.address, row.port, row.version],
  );
}

/** Forgets it; false when there was none. */
export async function deleteController(sql: Sql, id: string): Promise<boolean> {
  return (await sql.query('DELETE FROM controller WHERE id = $1 RETURNING id', [id])).length > 0;
}

export async function storeControllerToken(
  sql: Sql,
  token: { id: string; hash: string; server: string; by: string; expiresInMs: number },
): Promise<void> {
  await sql.query(
    `INSERT INTO controller_token (id, hash, server, by, expires_at)
     VALUES ($1, $2, $3, $4, now() + $5 * interval '1 millisecond')`,
    [token.id, token.hash, token.server, token.by, token.expiresInMs],
  );
}

/** The token of this hash, locked until the transaction ends. */
export async function lockControllerToken(sql: Sql, hash: string): Promise<ControllerTokenRow | undefined> {
  const [row] = await sql.query<ControllerTokenRow>(
    `SELECT id, server, expires_at <= now() AS expired, used_at IS NOT NULL AS used
     FROM controller_token WHERE hash = $1 FOR UPDATE`,
    [hash],
  );
  return row;
}

export async function storeControllerTokenUse(sql: Sql, id: string): Promise<void> {
  await sql.query('UPDATE controller_token SET used_at = coalesce(used_at, now()) WHERE id = $1', [id]);
}
