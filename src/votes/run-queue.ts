// How many runs of tasks wait. One question about the sequencer's table `run`, whose room stands beside this one.
import type { Sql } from '../platform/store.ts';

/** Runs of the pool's sites whose turn it is and that have no slot yet. */
export async function countWaitingRuns(sql: Sql, pool: string): Promise<number> {
  const [row] = await sql.query<{ count: number }>(
    `SELECT count(*) AS count FROM run WHERE state = 'queued' AND open AND pool = $1`,
    [pool],
  );
  return Number(row?.count ?? 0);
}
