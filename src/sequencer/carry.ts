// The tasks of a site as they go along when it is exported, and come back when it is imported: people's whole, of the recipe's
// only whether a person paused them.
import { z } from 'zod';
import type { Json, Sql } from '../platform/store.ts';
import type { SequencerParts } from './parts.ts';
import { listTaskPage, storePause, type TaskRow } from './task-store.ts';
import { addClosedTask, newTaskSchema } from './tasks.ts';

const MOST = 10_000;

const carriedTask = z.object({
  wish: newTaskSchema.omit({ site: true }).nullable().describe('Null: from the recipe'),
  name: z.string(),
  paused: z.object({ by: z.string(), reason: z.string().nullable() }).nullable(),
});
type CarriedTask = z.infer<typeof carriedTask>;

/** Everything about a site's tasks that its recipe alone does not say, by name. */
export async function listCarriedTasks(sql: Sql, site: string): Promise<Json[]> {
  const filter = { text: ' AND task.site = $3', values: [site] };
  const tasks = await listTaskPage(sql, { after: undefined, limit: MOST, filter });
  return tasks
    .map((task): CarriedTask => {
      const { name, origin, pausedBy: by, pausedReason: reason } = task;
      return { name, wish: origin === 'recipe' ? null : toWish(task), paused: by === null ? null : { by, reason } };
    })
    .filter(({ wish, paused }) => wish !== null || paused !== null)
    .map((task) => JSON.parse(JSON.stringify(task)) as Json);
}

/** Stores them for a site that is not open yet. Safe to repeat; what is no task throws. */
export async function storeCarriedTasks(
  sql: Sql,
  parts: Pick<SequencerParts, 'time'>,
  site: string,
  carried: readonly Json[],
): Promise<void> {
  for (const { name, wish, paused } of z.array(carriedTask).parse(carried)) {
    if (wish !== null) await addClosedTask(sql, parts, { ...wish, name, site });
    if (paused === null) continue;
    const [row] = await sql.query<{ id: string }>('SELECT id FROM task WHERE site = $1 AND name = $2', [site, name]);
    if (row !== undefined) await storePause(sql, row.id, paused.by, paused.reason);
  }
}

function toWish(task: TaskRow): NonNullable<CarriedTask['wish']> {
  const { name, command, everyS, cron, zone, timeoutS, whenDueRunning, whenLost, missed, missedCap } = task;
  const { retryLimit, retryFirstS, retryMostS, overdueAfterS, cpuPercent, memoryMb } = task;
  const key = task.overlapKey.slice(task.site.length + 1);
  return {
    ...{ name, command, zone, timeoutS, class: task.class, whenDueRunning, whenLost, missed, missedCap },
    ...{ retryLimit, retryFirstS, retryMostS, overdueAfterS, cpuPercent, memoryMb },
    ...(everyS === null ? {} : { every: `${everyS}s` }),
    ...(cron === null ? {} : { cron }),
    // Its own id is the default, and another one there.
    ...(key === task.id ? {} : { overlapKey: key }),
  };
}
