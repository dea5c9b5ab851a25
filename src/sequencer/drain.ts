// Lets a site's tasks run out before it moves: nothing new is due, and what waits or runs gets its time. Apart from closing a
// site (stop.ts), which kills.

import { taskProblems } from './problems.ts';
import type { StopParts } from './stop.ts';

const LOOK_EVERY_MS = 100;

/**
 * Resolves when no run of the site's tasks is left. The caller's signal bounds it; `task.still-running` names the run that is
 * under way by then. `openSite` lets the tasks go on.
 */
export async function drainSite(parts: StopParts, site: string, signal: AbortSignal): Promise<void> {
  const { store, clock } = parts;
  await store.query('UPDATE task SET site_closed = true, next_at = NULL WHERE site = $1', [site]);
  for (;;) {
    const [left] = await store.query<{ id: number; task: string; state: string }>(
      `SELECT run.id, task.name AS task, run.state FROM run JOIN task ON task.id = run.task WHERE task.site = $1
       ORDER BY run.id LIMIT 1`,
      [site],
    );
    if (left === undefined) return;
    try {
      await clock.wait(LOOK_EVERY_MS, signal);
    } catch (thrown) {
      throw taskProblems.make('still-running', { task: left.task, run: left.id, state: left.state }, thrown);
    }
  }
}
