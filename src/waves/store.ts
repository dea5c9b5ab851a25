// The tables `wave` and `wave_site`: their SQL and nobody else's.
import { type Sql, toJsonValue } from '../platform/store.ts';

/** running; stopped: too many sites failed, to be resumed or aborted; done: each site was tried; aborted: a person ended it. */
export type WaveState = 'running' | 'stopped' | 'done' | 'aborted';

export interface WaveRow {
  id: string;
  pool: string;
  app: string;
  fromImage: number;
  fromGeneration: number;
  toImage: number;
  toGeneration: number;
  /** All sites of the pool, those included that come meanwhile. */
  whole: boolean;
  /** What each batch is: `canary`, `5 %`, `plan=free`. */
  batches: string[];
  /** The share of the sites so far that may fail, 0 to 1. */
  stopAt: number;
  checkPages: string[];
  atOnce: number;
  state: WaveState;
  reason: string;
  pausedBy: string | null;
  /** Nothing more begins; when what is under way has ended, it is this. */
  endsAs: 'stopped' | 'aborted' | null;
  /** Upgraded sites are brought back as well. */
  goesBack: boolean;
  startedBy: string;
  startedAt: string;
  endedAt: string | null;
}

/**
 * waiting, upgrading, upgraded. failed: brought back whole. skipped: gone, or nothing to upgrade. returning, returned: brought
 * back because its wave was aborted. stuck: a person must act.
 */
export type WaveSiteState =
  | 'waiting'
  | 'upgrading'
  | 'upgraded'
  | 'failed'
  | 'skipped'
  | 'returning'
  | 'returned'
  | 'stuck';

export interface WaveSiteRow {
  wave: string;
  site: string;
  name: string;
  batch: number;
  state: WaveSiteState;
  reason: string;
  operation: string | null;
  snapshot: number | null;
  pauseMs: number | null;
  /** The app's upgrade was begun in the try that is under way. */
  upgradeBegun: boolean;
  endedAt: string | null;
}

const WAVE = `id, pool, app, from_image AS "fromImage", from_generation AS "fromGeneration", to_image AS "toImage",
  to_generation AS "toGeneration", whole, batches, stop_at AS "stopAt", check_pages AS "checkPages", at_once AS "atOnce", state,
  reason, paused_by AS "pausedBy", ends_as AS "endsAs", goes_back AS "goesBack", started_by AS "startedBy",
  started_at AS "startedAt", ended_at AS "endedAt"`;
const SITE = `wave, site, name, batch, state, reason, operation, snapshot, pause_ms AS "pauseMs", upgrade_begun AS "upgradeBegun", ended_at AS "endedAt"`;

/** Newest first. */
export function listWaves(sql: Sql, where: { pool?: string | undefined; state?: WaveState } = {}): Promise<WaveRow[]> {
  return sql.query<WaveRow>(
    `SELECT ${WAVE} FROM wave WHERE ($1::text IS NULL OR pool = $1) AND ($2::text IS NULL OR state = $2)
     ORDER BY started_at DESC, id DESC LIMIT 500`,
    [where.pool ?? null, where.state ?? null],
  );
}

export async function readWave(sql: Sql, id: string): Promise<WaveRow | undefined> {
  return (await sql.query<WaveRow>(`SELECT ${WAVE} FROM wave WHERE id = $1`, [id]))[0];
}

/** The same, held to the end of the transaction. */
export async function takeWave(sql: Sql, id: string): Promise<WaveRow | undefined> {
  return (await sql.query<WaveRow>(`SELECT ${WAVE} FROM wave WHERE id = $1 FOR UPDATE`, [id]))[0];
}

/** The one of a pool that is under way or stopped. */
export async function readOpenWave(sql: Sql, pool: string): Promise<WaveRow | undefined> {
  return (
    await sql.query<WaveRow>(`SELECT ${WAVE} FROM wave WHERE pool = $1 AND state IN ('running', 'stopped')`, [pool])
  )[0];
}

export type NewWave = Omit<WaveRow, 'state' | 'pausedBy' | 'endsAs' | 'goesBack' | 'startedAt' | 'endedAt'>;

export async function insertWave(sql: Sql, wave: NewWave): Promise<void> {
  await sql.query(
    `INSERT INTO wave (id, pool, app, from_image, from_generation, to_image, to_generation, whole, batches, stop_at, check_pages,
       at_once, state, reason, started_by)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11, $12, 'running', $13, $14)`,
    [
      ...[
        wave.id,
        wave.pool,
        wave.app,
        wave.fromImage,
        wave.fromGeneration,
        wave.toImage,
        wave.toGeneration,
        wave.whole,
      ],
      ...[toJsonValue(wave.batches), wave.stopAt, wave.checkPages, wave.atOnce, wave.reason, wave.startedBy],
    ],
  );
}

export async function storeWave(
  sql: Sql,
  id: string,
  change: Partial<Pick<WaveRow, 'state' | 'reason' | 'endsAs' | 'goesBack' | 'pausedBy' | 'batches'>>,
): Promise<void> {
  const has = (name: keyof typeof change): boolean => change[name] !== undefined;
  await sql.query(
    `UPDATE wave SET state = coalesce($2, state), reason = coalesce($3, reason),
       ends_as = CASE WHEN $4::boolean THEN $5 ELSE ends_as END, goes_back = coalesce($6::boolean, goes_back),
       paused_by = CASE WHEN $7::boolean THEN $8 ELSE paused_by END, batches = coalesce($9::jsonb, batches),
       ended_at = CASE coalesce($2, state) WHEN 'done' THEN coalesce(ended_at, now()) WHEN 'aborted' THEN coalesce(ended_at, now()) END
     WHERE id = $1`,
    [
      ...[id, change.state ?? null, change.reason ?? null, has('endsAs'), change.endsAs ?? null],
      ...[change.goesBack ?? null, has('pausedBy'), change.pausedBy ?? null],
      change.batches === undefined ? null : toJsonValue(change.batches),
    ],
  );
}

/** By batch and name. */
export function listWaveSites(sql: Sql, wave: string): Promise<WaveSiteRow[]> {
  return sql.query<WaveSiteRow>(`SELECT ${SITE} FROM wave_site WHERE wave = $1 ORDER BY batch, name`, [wave]);
}

export async function readWaveSite(sql: Sql, wave: string, site: string): Promise<WaveSiteRow | undefined> {
  return (await sql.query<WaveSiteRow>(`SELECT ${SITE} FROM wave_site WHERE wave = $1 AND site = $2`, [wave, site]))[0];
}

export async function insertWaveSites(
  sql: Sql,
  wave: string,
  sites: readonly { site: string; name: string; batch: number }[],
): Promise<void> {
  await sql.query(
    `INSERT INTO wave_site (wave, site, name, batch, state, reason)
     SELECT $1, site, name, batch, 'waiting', 'its turn has not come'
     FROM jsonb_to_recordset($2::jsonb) AS given (site text, name text, batch int)`,
    [wave, toJsonValue(sites)],
  );
}

/** A change of one site's row; what is left out stays. */
export async function storeWaveSite(
  sql: Sql,
  { wave, site }: Pick<WaveSiteRow, 'wave' | 'site'>,
  change: { state: WaveSiteState; reason: string } & Partial<Pick<WaveSiteRow, 'operation' | 'snapshot' | 'pauseMs'>>,
): Promise<void> {
  const ended = !['waiting', 'upgrading', 'returning'].includes(change.state);
  await sql.query(
    `UPDATE wave_site SET state = $3, reason = $4, operation = coalesce($5, operation),
       snapshot = CASE WHEN $6::boolean THEN $7::int ELSE snapshot END, pause_ms = coalesce($8::int, pause_ms),
       ended_at = CASE WHEN $9::boolean THEN now() END
     WHERE wave = $1 AND site = $2`,
    [
      ...[wave, site, change.state, change.reason, change.operation ?? null],
      ...[change.snapshot !== undefined, change.snapshot ?? null, change.pauseMs ?? null, ended],
    ],
  );
}

export async function storeUpgradeBegun(sql: Sql, wave: string, site: string, begun: boolean): Promise<void> {
  await sql.query('UPDATE wave_site SET upgrade_begun = $3 WHERE wave = $1 AND site = $2', [wave, site, begun]);
}

export async function storePause(sql: Sql, wave: string, site: string, pauseMs: number): Promise<void> {
  await sql.query('UPDATE wave_site SET pause_ms = $3 WHERE wave = $1 AND site = $2', [wave, site, pauseMs]);
}

/** Of waves that are over: sites whose snapshot nobody needs any more. That of one that is stuck is left to the person who comes. */
export function listSpentSnapshots(sql: Sql): Promise<{ wave: string; site: string; snapshot: number }[]> {
  return sql.query(
    `SELECT wave, site, snapshot FROM wave_site WHERE snapshot IS NOT NULL AND state <> 'stuck'
       AND wave IN (SELECT id FROM wave WHERE state IN ('done', 'aborted')) ORDER BY wave, site LIMIT 100`,
  );
}

export async function forgetSnapshot(sql: Sql, wave: string, site: string): Promise<void> {
  await sql.query('UPDATE wave_site SET snapshot = NULL WHERE wave = $1 AND site = $2', [wave, site]);
}

export async function deleteAllWaves(sql: Sql): Promise<void> {
  await sql.query('DELETE FROM wave');
}
