// The tables `roll` and `node_log`: their SQL and nobody else's.
import type { Sql } from '../../platform/store.ts';

/**
 * canary: one new node more, watched, then batches. rolling: a batch leaves, then comes back new. additional-batch: a
 * batch comes new, then as many leave. immutable: one, then all new beside the old, then the old leave.
 */
export type Strategy = 'canary' | 'rolling' | 'additional-batch' | 'immutable';

export interface RollRow {
  /** The operation that carries it. */
  id: string;
  pool: string;
  app: string;
  fromImage: number;
  toImage: number;
  strategy: Strategy;
  batch: number;
  bakeS: number;
  state: 'running' | 'done' | 'returned';
  reason: string;
  pausedBy: string | null;
  startedAt: string;
  endedAt: string | null;
}

const ROLL = `id, pool, app, from_image AS "fromImage", to_image AS "toImage", strategy, batch, bake_s AS "bakeS",
  state, reason, paused_by AS "pausedBy", started_at AS "startedAt", ended_at AS "endedAt"`;

/** Newest first. */
export function listRolls(sql: Sql, pool?: string): Promise<RollRow[]> {
  return sql.query<RollRow>(
    `SELECT ${ROLL} FROM roll WHERE ($1::text IS NULL OR pool = $1) ORDER BY started_at DESC, id DESC LIMIT 500`,
    [pool ?? null],
  );
}

export async function readRoll(sql: Sql, id: string): Promise<RollRow | undefined> {
  return (await sql.query<RollRow>(`SELECT ${ROLL} FROM roll WHERE id = $1`, [id]))[0];
}

/** The one under way. */
export async function readRunningRoll(sql: Sql, pool: string): Promise<RollRow | undefined> {
  return (await sql.query<RollRow>(`SELECT ${ROLL} FROM roll WHERE pool = $1 AND state = 'running'`, [pool]))[0];
}

/** Those of all pools. */
export function listRunningRolls(sql: Sql): Promise<RollRow[]> {
  return sql.query<RollRow>(`SELECT ${ROLL} FROM roll WHERE state = 'running' ORDER BY pool`);
}

export async function insertRoll(
  sql: Sql,
  roll: Pick<RollRow, 'id' | 'pool' | 'app' | 'fromImage' | 'toImage' | 'strategy' | 'batch' | 'bakeS' | 'reason'>,
): Promise<void> {
  await sql.query(
    `INSERT INTO roll (id, pool, app, from_image, to_image, strategy, batch, bake_s, state, reason)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'running', $9)`,
    [
      ...[roll.id, roll.pool, roll.app, roll.fromImage, roll.toImage],
      ...[roll.strategy, roll.batch, roll.bakeS, roll.reason],
    ],
  );
}

export async function storeRollReason(sql: Sql, id: string, reason: string): Promise<void> {
  await sql.query('UPDATE roll SET reason = $2 WHERE id = $1', [id, reason]);
}

export async function storeRollEnd(sql: Sql, id: string, state: 'done' | 'returned', reason: string): Promise<void> {
  await sql.query('UPDATE roll SET state = $2, reason = $3, paused_by = NULL, ended_at = now() WHERE id = $1', [
    id,
    state,
    reason,
  ]);
}

export async function storePausedBy(sql: Sql, id: string, pausedBy: string | null): Promise<void> {
  await sql.query('UPDATE roll SET paused_by = $2 WHERE id = $1', [id, pausedBy]);
}

export interface NodeLogRow {
  node: string;
  pool: string;
  image: string;
  why: string;
  log: string;
  at: string;
}

export async function readNodeLog(sql: Sql, node: string): Promise<NodeLogRow | undefined> {
  return (
    await sql.query<NodeLogRow>('SELECT node, pool, image, why, log, at FROM node_log WHERE node = $1', [node])
  )[0];
}

/** Of a pool, newest first, without their texts. */
export function listNodeLogs(sql: Sql, pool?: string): Promise<Omit<NodeLogRow, 'log'>[]> {
  return sql.query(
    'SELECT node, pool, image, why, at FROM node_log WHERE ($1::text IS NULL OR pool = $1) ORDER BY at DESC, node',
    [pool ?? null],
  );
}

/** Keeps a log, and of all of them the newest `most`. */
export async function insertNodeLog(sql: Sql, log: Omit<NodeLogRow, 'at'>, most: number): Promise<void> {
  await sql.query(
    `INSERT INTO node_log (node, pool, image, why, log) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (node) DO UPDATE SET why = $4, log = $5, at = now()`,
    [log.node, log.pool, log.image, log.why, log.log],
  );
  await sql.query('DELETE FROM node_log WHERE node NOT IN (SELECT node FROM node_log ORDER BY at DESC LIMIT $1)', [
    most,
  ]);
}

export async function deleteAllRolls(sql: Sql): Promise<void> {
  await sql.query('DELETE FROM roll');
  await sql.query('DELETE FROM node_log');
}
