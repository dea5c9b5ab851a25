// The table `site_snapshot` and the count in `site`: their SQL and nobody else's.
import { type Sql, toJsonValue } from '../../platform/store.ts';
import type { SiteRow } from '../store.ts';

/** taking: its parts are being written. ready: whole. removing: its parts are being deleted; nobody may use it. */
export type SnapshotState = 'taking' | 'ready' | 'removing';

export interface SnapshotRow {
  site: string;
  number: number;
  state: SnapshotState;
  operation: string;
  reason: string;
  madeBy: string;
  pool: string;
  databaseServer: string;
  /** Null until it is ready. */
  dump: { path: string; bytes: number; sha256: string } | null;
  filesBytes: number | null;
  hosts: string[];
  title: string;
  settings: SiteRow['settings'];
  imageNumber: number;
  /** Of an export: its files packed into one. */
  packed: { bytes: number; sha256: string } | null;
  /** When it goes by itself; null: never. */
  expiresAt: string | null;
  createdAt: string;
}

const SNAPSHOT = `site, number, state, operation, reason, made_by AS "madeBy", pool, database_server AS "databaseServer", dump,
  files_bytes AS "filesBytes", hosts, title, settings, image_number AS "imageNumber", packed, expires_at AS "expiresAt",
  created_at AS "createdAt"`;

/** Newest first. */
export function listSnapshots(sql: Sql, site: string): Promise<SnapshotRow[]> {
  return sql.query<SnapshotRow>(`SELECT ${SNAPSHOT} FROM site_snapshot WHERE site = $1 ORDER BY number DESC`, [site]);
}

export async function readSnapshot(sql: Sql, site: string, number: number): Promise<SnapshotRow | undefined> {
  const rows = await sql.query<SnapshotRow>(`SELECT ${SNAPSHOT} FROM site_snapshot WHERE site = $1 AND number = $2`, [
    site,
    number,
  ]);
  return rows[0];
}

/** Those of an operation on a site. */
export function listSnapshotsOf(sql: Sql, site: string, operation: string): Promise<SnapshotRow[]> {
  return sql.query<SnapshotRow>(`SELECT ${SNAPSHOT} FROM site_snapshot WHERE site = $1 AND operation = $2`, [
    site,
    operation,
  ]);
}

/** How many snapshots lie on a pool's volume. */
export async function countSnapshotsOnPool(sql: Sql, pool: string): Promise<number> {
  const [row] = await sql.query<{ count: number }>('SELECT count(*)::int AS count FROM site_snapshot WHERE pool = $1', [
    pool,
  ]);
  return row?.count ?? 0;
}

/** Takes the site's next number for a snapshot of this operation and reason; the same one when it is asked again. */
export async function insertSnapshot(
  sql: Sql,
  snapshot: Pick<
    SnapshotRow,
    | 'site'
    | 'operation'
    | 'reason'
    | 'madeBy'
    | 'pool'
    | 'databaseServer'
    | 'hosts'
    | 'title'
    | 'settings'
    | 'imageNumber'
  >,
): Promise<number> {
  const { site, operation, reason } = snapshot;
  const known = (await listSnapshotsOf(sql, site, operation)).find((one) => one.reason === reason);
  if (known !== undefined) return known.number;
  const [row] = await sql.query<{ number: number }>(
    'UPDATE site SET snapshots_taken = snapshots_taken + 1 WHERE id = $1 RETURNING snapshots_taken AS number',
    [site],
  );
  const number = row?.number ?? 1;
  await sql.query(
    `INSERT INTO site_snapshot (site, number, state, operation, reason, made_by, pool, database_server, hosts, title, settings, image_number)
     VALUES ($1, $2, 'taking', $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11)`,
    [
      ...[site, number, operation, reason, snapshot.madeBy, snapshot.pool, snapshot.databaseServer],
      ...[snapshot.hosts, snapshot.title, toJsonValue(snapshot.settings), snapshot.imageNumber],
    ],
  );
  return number;
}

export async function storeSnapshotReady(
  sql: Sql,
  { site, number }: Pick<SnapshotRow, 'site' | 'number'>,
  parts: { dump: NonNullable<SnapshotRow['dump']>; filesBytes: number },
): Promise<void> {
  await sql.query(
    `UPDATE site_snapshot SET state = 'ready', dump = $3::jsonb, files_bytes = $4, created_at = now() WHERE site = $1 AND number = $2`,
    [site, number, toJsonValue(parts.dump), parts.filesBytes],
  );
}

export async function storeSnapshotPacked(
  sql: Sql,
  { site, number }: Pick<SnapshotRow, 'site' | 'number'>,
  packed: NonNullable<SnapshotRow['packed']>,
  keptS: number,
): Promise<void> {
  await sql.query(
    'UPDATE site_snapshot SET packed = $3::jsonb, expires_at = now() + make_interval(secs => $4) WHERE site = $1 AND number = $2',
    [site, number, toJsonValue(packed), keptS],
  );
}

/** Those past their time. */
export function listExpiredSnapshots(sql: Sql): Promise<(Pick<SnapshotRow, 'site' | 'number'> & { name: string })[]> {
  return sql.query(
    `SELECT site_snapshot.site, site_snapshot.number, site.name FROM site_snapshot JOIN site ON site.id = site_snapshot.site
     WHERE expires_at <= now() ORDER BY expires_at`,
  );
}

export async function storeSnapshotState(
  sql: Sql,
  { site, number }: Pick<SnapshotRow, 'site' | 'number'>,
  state: SnapshotState,
): Promise<void> {
  await sql.query('UPDATE site_snapshot SET state = $3 WHERE site = $1 AND number = $2', [site, number, state]);
}

export async function deleteSnapshot(sql: Sql, { site, number }: Pick<SnapshotRow, 'site' | 'number'>): Promise<void> {
  await sql.query('DELETE FROM site_snapshot WHERE site = $1 AND number = $2', [site, number]);
}
