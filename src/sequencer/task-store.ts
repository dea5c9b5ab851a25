// The table `task`: reading and writing single tasks. What happens to many at once (ticks, ends) is in the files of
// those hot paths.
import { type Sql, toJsonValue } from '../platform/store.ts';
import type { Schedule } from './schedule.ts';
import type { TaskClass } from './settings.ts';

/** What a person should look at: the run that failed last, how, and since when it has been so. */
export interface Attention {
  run: number;
  cause: string;
  sentence: string;
  since: string;
}

export interface TaskRow extends Schedule {
  id: string;
  site: string;
  siteName: string;
  siteState: string;
  pool: string;
  name: string;
  origin: 'recipe' | 'person';
  command: string[];
  timeoutS: number;
  class: TaskClass;
  overlapKey: string;
  whenDueRunning: 'skip' | 'queue';
  whenLost: 'retry' | 'fail';
  missed: 'latest' | 'none' | 'all';
  missedCap: number;
  retryLimit: number;
  retryFirstS: number;
  retryMostS: number;
  /** How old its oldest due tick may be before people are told; null: as alerts.ts thinks right. */
  overdueAfterS: number | null;
  cpuPercent: number | null;
  memoryMb: number | null;
  pausedBy: string | null;
  pausedReason: string | null;
  siteClosed: boolean;
  nextAt: string | null;
  failures: number;
  trips: number;
  brokenUntil: string | null;
  attention: Attention | null;
  costS: number;
  createdAt: string;
}

const TASK = `task.id, task.site, site.name AS "siteName", site.state AS "siteState", site.pool, task.name, task.origin,
  task.command, task.every_s AS "everyS", task.offset_s AS "offsetS", task.cron, task.zone, task.timeout_s AS "timeoutS",
  task.class, task.overlap_key AS "overlapKey", task.when_due_running AS "whenDueRunning", task.when_lost AS "whenLost",
  task.missed, task.missed_cap AS "missedCap", task.retry_limit AS "retryLimit", task.retry_first_s AS "retryFirstS",
  task.retry_most_s AS "retryMostS", task.overdue_after_s AS "overdueAfterS", task.cpu_percent AS "cpuPercent", task.memory_mb AS "memoryMb",
  task.paused_by AS "pausedBy", task.paused_reason AS "pausedReason", task.site_closed AS "siteClosed",
  task.next_at AS "nextAt", task.failures, task.trips, task.broken_until AS "brokenUntil", task.attention,
  task.cost_s AS "costS", task.created_at AS "createdAt"`;
const FROM = 'FROM task JOIN site ON site.id = task.site';

/** By id, or as `SITE/NAME`. */
export async function readTask(sql: Sql, idOrName: string): Promise<TaskRow | undefined> {
  const [site = '', name = ''] = idOrName.split('/', 2);
  const rows = await sql.query<TaskRow>(
    `SELECT ${TASK} ${FROM} WHERE task.id = $1 OR ((site.name = $2 OR site.id = $2) AND task.name = $3)
     ORDER BY task.id = $1 DESC LIMIT 1`,
    [idOrName, site, name],
  );
  return rows[0];
}

/** Locks the row to the end of the transaction: ticks, pauses and deletes of a task come one after another. */
export async function lockTask(sql: Sql, id: string): Promise<boolean> {
  return (await sql.query('SELECT id FROM task WHERE id = $1 FOR UPDATE', [id])).length > 0;
}

/** A page of tasks in the order `SITE/NAME`; `filter` is a clause made by renderFilterSql with placeholders from $3. */
export function listTaskPage(
  sql: Sql,
  page: { after: string | undefined; limit: number; filter: { text: string; values: string[] } },
): Promise<TaskRow[]> {
  return sql.query<TaskRow>(
    `SELECT ${TASK} ${FROM} WHERE ($1::text IS NULL OR site.name || '/' || task.name > $1)${page.filter.text}
     ORDER BY site.name || '/' || task.name LIMIT $2`,
    [page.after ?? null, page.limit, ...page.filter.values],
  );
}

/** Columns that lists of tasks may be filtered by. */
export const TASK_FILTERS: Record<string, string> = {
  site: 'site.name',
  name: 'task.name',
  class: 'task.class',
  attention: '(task.attention IS NOT NULL)',
  paused: '(task.paused_by IS NOT NULL)',
};

export type NewTaskRow = Pick<
  TaskRow,
  | 'id'
  | 'site'
  | 'name'
  | 'origin'
  | 'command'
  | 'everyS'
  | 'offsetS'
  | 'cron'
  | 'zone'
  | 'timeoutS'
  | 'class'
  | 'overlapKey'
  | 'whenDueRunning'
  | 'whenLost'
  | 'missed'
  | 'missedCap'
  | 'retryLimit'
  | 'retryFirstS'
  | 'retryMostS'
  | 'overdueAfterS'
  | 'cpuPercent'
  | 'memoryMb'
  | 'siteClosed'
  | 'nextAt'
>;

/** Stores tasks that are new; those whose site has one of that name are left as they are. Returns the new ones' ids. */
export async function insertTasks(sql: Sql, tasks: readonly NewTaskRow[]): Promise<string[]> {
  const rows = await sql.query<{ id: string }>(
    `INSERT INTO task (id, site, name, origin, command, every_s, offset_s, cron, zone, timeout_s, class, overlap_key,
       when_due_running, when_lost, missed, missed_cap, retry_limit, retry_first_s, retry_most_s, overdue_after_s, cpu_percent,
       memory_mb, site_closed, next_at)
     SELECT id, site, name, origin, ARRAY(SELECT jsonb_array_elements_text(command)), "everyS", "offsetS", cron, zone,
       "timeoutS", class, "overlapKey", "whenDueRunning", "whenLost", missed, "missedCap", "retryLimit", "retryFirstS",
       "retryMostS", "overdueAfterS", "cpuPercent", "memoryMb", "siteClosed", "nextAt"
     FROM jsonb_to_recordset($1::jsonb) AS new (id text, site text, name text, origin text, command jsonb, "everyS" int,
       "offsetS" int, cron text, zone text, "timeoutS" int, class text, "overlapKey" text, "whenDueRunning" text,
       "whenLost" text, missed text, "missedCap" int, "retryLimit" int, "retryFirstS" int, "retryMostS" int,
       "overdueAfterS" int, "cpuPercent" int, "memoryMb" int, "siteClosed" boolean, "nextAt" timestamptz)
     ON CONFLICT (site, name) DO NOTHING RETURNING id`,
    [toJsonValue(tasks)],
  );
  return rows.map((row) => row.id);
}

export async function storePause(sql: Sql, id: string, by: string, reason: string | null): Promise<void> {
  await sql.query('UPDATE task SET paused_by = $2, paused_reason = $3, next_at = NULL WHERE id = $1', [id, by, reason]);
}

/** Takes the pause, the breaker and the attention away: a person has looked. */
export async function storeResume(sql: Sql, id: string, nextAt: Date | null): Promise<void> {
  await sql.query(
    `UPDATE task SET paused_by = NULL, paused_reason = NULL, next_at = $2, failures = 0, trips = 0, broken_until = NULL,
       attention = NULL WHERE id = $1`,
    [id, nextAt],
  );
}

export async function storeNextAt(sql: Sql, nexts: readonly { id: string; nextAt: string | null }[]): Promise<void> {
  await sql.query(
    `UPDATE task SET next_at = new."nextAt" FROM jsonb_to_recordset($1::jsonb) AS new (id text, "nextAt" timestamptz)
     WHERE task.id = new.id`,
    [toJsonValue(nexts)],
  );
}

export async function deleteTask(sql: Sql, id: string): Promise<void> {
  await sql.query('DELETE FROM task WHERE id = $1', [id]);
}
