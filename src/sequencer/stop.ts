// What ends or holds back the runs of tasks: pause, resume, cancel, delete, and the same for all tasks of a site that closes. All
// lock the task first, as the tick does, and answer only when nothing of what they stop can start any more.
import type { Clock } from '../lib/clock.ts';
import type { Asker } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { settle } from './end.ts';
import { type SequencerParts, taskSubject } from './parts.ts';
import { taskProblems } from './problems.ts';
import { readNext, type Schedule } from './schedule.ts';
import { deleteTask, lockTask, storeNextAt, storePause, storeResume, type TaskRow } from './task-store.ts';
import { insertRuns } from './tick.ts';
import { NOW, readTime } from './time.ts';

export type StopParts = SequencerParts & { clock: Clock };

const CANCEL_CALL_MS = 5_000;
const LOOK_EVERY_MS = 200;

/** Ends runs that wait, as cancelled. In the transaction that locked their tasks. */
export async function dropQueued(
  sql: Sql,
  parts: SequencerParts,
  tasks: readonly string[],
  why: string,
): Promise<void> {
  const { time } = parts;
  const open = await sql.query<{ site: string; costS: number }>(
    `WITH gone AS (DELETE FROM run WHERE task = ANY($2) AND state = 'queued' RETURNING *),
     kept AS (
       INSERT INTO run_history (id, task, site, kind, due_at, state, attempt, enqueued_at, ended_at, why)
       SELECT id, task, site, kind, due_at, 'cancelled', attempt, enqueued_at, ${NOW}, $3 FROM gone
     )
     SELECT site, cost_s AS "costS" FROM gone WHERE open`,
    [time.at(), [...tasks], why],
  );
  // Their site has not had what it was charged for.
  await settle(
    sql,
    parts,
    open.map(({ site, costS }) => ({ site, beyondS: -costS })),
  );
}

interface LiveRun {
  id: number;
  server: string;
  state: string;
}

/** Waits until none of these tasks has a run in one of the states. An agent that is away keeps it to the end of its lease. */
async function awaitGone(
  parts: StopParts,
  tasks: readonly string[],
  states: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  const { store, settings, clock } = parts;
  const untilMs = clock.monotonicMs() + settings.leaseMs + settings.graceMs + 5_000;
  for (;;) {
    const left = await store.query<LiveRun>(
      'SELECT id, server, state FROM run WHERE task = ANY($1) AND state = ANY($2) ORDER BY id',
      [[...tasks], [...states]],
    );
    const [first] = left;
    if (first === undefined) return;
    if (clock.monotonicMs() > untilMs)
      throw taskProblems.make('still-starting', { task: tasks[0] ?? '', run: first.id, server: first.server });
    await clock.wait(LOOK_EVERY_MS, signal);
  }
}

/** Gives live runs time to end by themselves. */
async function awaitOwnEnds(
  { store, clock }: StopParts,
  tasks: readonly string[],
  patienceMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const untilMs = clock.monotonicMs() + patienceMs;
  while (clock.monotonicMs() < untilMs) {
    const live = await store.query('SELECT id FROM run WHERE task = ANY($1) LIMIT 1', [[...tasks]]);
    if (live.length === 0) return;
    await clock.wait(LOOK_EVERY_MS, signal);
  }
}

/** Marks the live runs of tasks as cancelled and asks their agents to kill them. */
async function cancelLive(parts: StopParts, tasks: readonly string[], by: string): Promise<number> {
  const rows = await parts.store.query<LiveRun>(
    `UPDATE run SET cancelled_by = $2 WHERE task = ANY($1) AND state <> 'queued' RETURNING id, server, state`,
    [[...tasks], by],
  );
  await tellCancelled(parts, rows);
  return rows.length;
}

/** Asks agents to kill runs. One that is away is asked again with its next heartbeat (renew.ts). */
export async function tellCancelled(
  parts: SequencerParts,
  runs: readonly { id: number; server: string }[],
): Promise<void> {
  const { agents, log } = parts;
  await Promise.all(
    [...Map.groupBy(runs, (run) => run.server)].map(async ([server, own]) => {
      await agents
        .call(server, 'runs.cancel', { ids: own.map((run) => run.id) }, { timeoutMs: CANCEL_CALL_MS })
        .catch((thrown: unknown) => log.debug({ err: thrown, server }, 'an agent was not told to cancel runs'));
    }),
  );
}

/** No run of the task starts after this has resolved; one that runs already goes on. */
export async function pauseTask(parts: StopParts, task: TaskRow, who: Asker, signal?: AbortSignal): Promise<void> {
  await parts.store.transaction(async (sql) => {
    await lockTask(sql, task.id);
    await storePause(sql, task.id, who.by, who.reason ?? null);
    await dropQueued(sql, parts, [task.id], `the task was paused by ${who.by}`);
    await parts.events.append(sql, { kind: 'task.paused', subject: taskSubject(task.id), ...who });
  }, 'read committed');
  await awaitGone(parts, [task.id], ['leased'], signal);
}

/** The task is due again from its next time on; its failures are forgotten. */
export async function resumeTask(parts: SequencerParts, task: TaskRow, who: Asker): Promise<void> {
  await parts.store.transaction(async (sql) => {
    await lockTask(sql, task.id);
    const now = await readTime(sql, parts.time);
    await storeResume(sql, task.id, task.siteClosed ? null : readNext(task, now));
    await parts.events.append(sql, { kind: 'task.resumed', subject: taskSubject(task.id), ...who });
  }, 'read committed');
}

/** Ends what waits and kills what runs of a task; resolves when it has ended. The schedule goes on. Returns how many ended. */
export async function cancelTask(parts: StopParts, task: TaskRow, who: Asker, signal?: AbortSignal): Promise<number> {
  const queued = await parts.store.transaction(async (sql) => {
    await lockTask(sql, task.id);
    const rows = await sql.query(`SELECT id FROM run WHERE task = $1 AND state = 'queued'`, [task.id]);
    await dropQueued(sql, parts, [task.id], `cancelled by ${who.by}`);
    await parts.events.append(sql, { kind: 'task.cancelled', subject: taskSubject(task.id), ...who });
    return rows.length;
  }, 'read committed');
  const live = await cancelLive(parts, [task.id], who.by);
  await awaitGone(parts, [task.id], ['leased', 'running'], signal);
  return queued + live;
}

/** Deletes a person's task, with all that waits and runs of it. Its history stays. */
export async function removeTask(parts: StopParts, task: TaskRow, who: Asker, signal?: AbortSignal): Promise<void> {
  if (task.origin === 'recipe') throw taskProblems.make('of-recipe', { task: `${task.siteName}/${task.name}` });
  await pauseTask(parts, task, who, signal);
  await cancelTask(parts, task, who, signal);
  await parts.store.transaction(async (sql) => {
    await deleteTask(sql, task.id);
    await parts.events.append(sql, { kind: 'task.removed', subject: taskSubject(task.id), ...who });
  });
}

/**
 * A site closes: nothing of its tasks starts any more, and what still runs after `patienceMs` is killed. Resolves when all
 * has ended.
 */
export async function closeSite(parts: StopParts, site: string, signal?: AbortSignal, patienceMs = 0): Promise<void> {
  const tasks = await parts.store.transaction(async (sql) => {
    const rows = await sql.query<{ id: string }>('SELECT id FROM task WHERE site = $1 ORDER BY id FOR UPDATE', [site]);
    const ids = rows.map((row) => row.id);
    await sql.query('UPDATE task SET site_closed = true, next_at = NULL WHERE site = $1', [site]);
    await dropQueued(sql, parts, ids, 'its site was closed');
    return ids;
  }, 'read committed');
  await awaitOwnEnds(parts, tasks, patienceMs, signal);
  await cancelLive(parts, tasks, 'the closing of its site');
  await awaitGone(parts, tasks, ['leased', 'running'], signal);
}

/** A site is open: its tasks are due from their next times on. In the caller's transaction. */
export async function openSite(sql: Sql, parts: SequencerParts, site: string): Promise<void> {
  const now = await readTime(sql, parts.time);
  const tasks = await sql.query<Schedule & { id: string; pausedBy: string | null }>(
    `UPDATE task SET site_closed = false WHERE site = $1 AND site_closed
     RETURNING id, every_s AS "everyS", offset_s AS "offsetS", cron, zone, paused_by AS "pausedBy"`,
    [site],
  );
  const due = tasks.filter((task) => task.pausedBy === null);
  await storeNextAt(
    sql,
    due.map((task) => ({ id: task.id, nextAt: readNext(task, now)?.toISOString() ?? null })),
  );
}

/** A run by hand, now. Throws `task.pending` when one waits already, `task.site-closed` when it could not run. */
export async function runNow(parts: SequencerParts, task: TaskRow, who: Asker): Promise<number> {
  return parts.store.transaction(async (sql) => {
    await lockTask(sql, task.id);
    if (task.siteClosed) throw taskProblems.make('site-closed', { site: task.siteName, state: task.siteState });
    const [waiting] = await sql.query<{ id: number; why: string }>(
      `SELECT id, why FROM run WHERE task = $1 AND state = 'queued'`,
      [task.id],
    );
    const name = `${task.siteName}/${task.name}`;
    if (waiting !== undefined) throw taskProblems.make('pending', { task: name, run: waiting.id, why: waiting.why });
    const dueAt = (await readTime(sql, parts.time)).toISOString();
    const asked = { task: task.id, site: task.site, dueAt, why: `asked for by ${who.by}; waits for its turn` };
    const [run] = await insertRuns(sql, parts, 'manual', [asked]);
    if (run === undefined) throw new Error('a run that was just stored is there');
    await parts.events.append(sql, { kind: 'task.run', subject: taskSubject(task.id), ...who, data: { run } });
    return run;
  }, 'read committed');
}
