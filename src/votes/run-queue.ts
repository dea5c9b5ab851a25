// How many runs of tasks wait. One question about the sequencer's table `run`, whose room stands beside this one.
import type { Sql } from '../platform/store.ts';

/** Runs of the pools' sites whose turn it is and that have no slot yet, by pool; a pool without any is left out. */
export async function countWaitingRuns(sql: Sql, pools: readonly string[]): Promise<Map<string, number>> {
  const rows = await sql.query<{ pool: string; count: number }>(
    // Of all generations of a pool.
    `SELECT split_part(pool, '.', 1) AS pool, count(*) AS count FROM run
     WHERE state = 'queued' AND open AND split_part(pool, '.', 1) = ANY($1) GROUP BY 1`,
    [[...pools]],
  );
  return new Map(rows.map(({ pool, count }) => [pool, Number(count)]));
}
