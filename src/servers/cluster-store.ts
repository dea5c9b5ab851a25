// The tables `cluster`, `join_token` and `server_certificate`: their SQL and nobody else's.
import type { Sql } from '../platform/store.ts';

export interface ClusterRow {
  server: string;
  address: string;
  port: number;
  contentPath: string | null;
  contentId: string | null;
}

export interface JoinTokenRow {
  id: string;
  expired: boolean;
  /** Of the machine that used it. */
  keyFingerprint: string | null;
  server: string | null;
}

/** The cluster, or undefined while the deployment is one server. */
export async function readCluster(sql: Sql): Promise<ClusterRow | undefined> {
  const [row] = await sql.query<ClusterRow>(
    `SELECT server, address, port, content_path AS "contentPath", content_id AS "contentId" FROM cluster`,
  );
  return row;
}

/** Whether there is one server, and no other can join. */
export async function isAlone(sql: Sql): Promise<boolean> {
  const [row] = await sql.query<{ alone: boolean }>(
    'SELECT NOT EXISTS (SELECT FROM cluster) AND (SELECT count(*) FROM server) < 2 AS alone',
  );
  return row?.alone === true;
}

export async function storeCluster(sql: Sql, row: ClusterRow): Promise<void> {
  await sql.query(
    `INSERT INTO cluster (server, address, port, content_path, content_id) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (single) DO NOTHING`,
    [row.server, row.address, row.port, row.contentPath, row.contentId],
  );
}

/** Where the first server was `gone`, another one is the first from now on. */
export async function storeFirstServer(
  sql: Sql,
  gone: string,
  { server, address }: Pick<ClusterRow, 'server' | 'address'>,
): Promise<void> {
  await sql.query('UPDATE cluster SET server = $2, address = $3 WHERE server = $1', [gone, server, address]);
}

export async function storeJoinToken(
  sql: Sql,
  token: { id: string; hash: string; by: string; expiresInMs: number },
): Promise<void> {
  await sql.query(
    `INSERT INTO join_token (id, hash, by, expires_at) VALUES ($1, $2, $3, now() + $4 * interval '1 millisecond')`,
    [token.id, token.hash, token.by, token.expiresInMs],
  );
}

/** The token of this hash, locked until the transaction ends: two machines that use it at once come one after another. */
export async function lockJoinToken(sql: Sql, hash: string): Promise<JoinTokenRow | undefined> {
  const [row] = await sql.query<JoinTokenRow>(
    `SELECT id, expires_at <= now() AS expired, key_fingerprint AS "keyFingerprint", server
     FROM join_token WHERE hash = $1 FOR UPDATE`,
    [hash],
  );
  return row;
}

export async function storeTokenUse(sql: Sql, id: string, use: { fingerprint: string; server: string }): Promise<void> {
  await sql.query(
    'UPDATE join_token SET used_at = coalesce(used_at, now()), key_fingerprint = $2, server = $3 WHERE id = $1',
    [id, use.fingerprint, use.server],
  );
}

export async function storeCertificate(
  sql: Sql,
  certificate: { fingerprint: string; server: string; expiresAtMs: number },
): Promise<void> {
  await sql.query(
    `INSERT INTO server_certificate (fingerprint, server, expires_at) VALUES ($1, $2, to_timestamp($3 / 1000.0))
     ON CONFLICT (fingerprint) DO UPDATE
       SET server = $2, issued_at = now(), expires_at = to_timestamp($3 / 1000.0), revoked_at = NULL`,
    [certificate.fingerprint, certificate.server, certificate.expiresAtMs],
  );
}

/** Whose key this is, while it counts. */
export async function readCertified(sql: Sql, fingerprint: string): Promise<string | undefined> {
  const [row] = await sql.query<{ server: string }>(
    'SELECT server FROM server_certificate WHERE fingerprint = $1 AND revoked_at IS NULL AND expires_at > now()',
    [fingerprint],
  );
  return row?.server;
}

/** From now on none of the server's certificates counts. */
export async function revokeCertificates(sql: Sql, server: string): Promise<void> {
  await sql.query('UPDATE server_certificate SET revoked_at = now() WHERE server = $1 AND revoked_at IS NULL', [
    server,
  ]);
}
