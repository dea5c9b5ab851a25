// Lets a site's tasks run out before it moves: nothing is due any more, what waits is due again afterwards, and what runs gets
// its time. Apart from closing a site (stop.ts), which kills.
import type { Sql } from '../platform/store.ts';
import type { SequencerParts } from './parts.ts';
import { taskProblems } from './problems.ts';
import { dropQueued, openSite, type StopParts } from './stop.ts';
import { NOW } from './time.ts';

const LOOK_EVERY_MS = 100;

/**
 * Resolves when no run of the site's tasks is left; gives the tasks of which one waited, for `openDrained`. The caller's signal
 * bounds it; `task.still-running` names the run that is under way by then.
 */
export async function drainSite(parts: StopParts, site: string, signal: AbortSignal): Promise<string[]> {
  const { store, clock } = parts;
  const waited = await store.transaction(async (sql) => {
    const rows = await sql.query<{ id: string }>('SELECT id FROM task WHERE site = $1 ORDER BY id FOR UPDATE', [site]);
    await sql.query('UPDATE task SET site_closed = true, next_at = NULL WHERE site = $1', [site]);
    const queued = await sql.query<{ task: string }>(
      `SELECT DISTINCT task FROM run WHERE task = ANY($1) AND state = 'queued' ORDER BY task`,
      [rows.map(({ id }) => id)],
    );
    const why = 'its site moves; it is due again as soon as that is over';
    // A run that waits belongs to the pool that the site leaves.
    await dropQueued(
      sql,
      parts,
      rows.map(({ id }) => id),
      why,
    );
    return queued.map(({ task }) => task);
  }, 'read committed');
  for (;;) {
    const [left] = await store.query<{ id: number; task: string; state: string }>(
      `SELECT run.id, task.name AS task, run.state FROM run JOIN task ON task.id = run.task WHERE task.site = $1
       ORDER BY run.id LIMIT 1`,
      [site],
    );
    if (left === undefined) return waited;
    try {
      await clock.wait(LOOK_EVERY_MS, signal);
    } catch (thrown) {
      throw taskProblems.make('still-running', { task: left.task, run: left.id, state: left.state }, thrown);
    }
  }
}

/** The site is open, and those of its tasks of which a run waited when it was drained are due now. In the caller's transaction. */
export async function openDrained(
  sql: Sql,
  parts: SequencerParts,
  site: string,
  waited: readonly string[],
): Promise<void> {
  await openSite(sql, parts, site);
  await sql.query(
    `UPDATE task SET next_at = ${NOW} WHERE site = $3 AND id = ANY($2) AND paused_by IS NULL AND NOT site_closed`,
    [parts.time.at(), [...waited], site],
  );
}
