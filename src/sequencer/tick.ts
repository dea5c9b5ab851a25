// The tick: claims the tasks that are due, gives each due time one run or one recorded skip, and moves the task's next
// time on from its schedule, never from "now". One transaction a batch, rows locked and skipped when another controller has them,
// so two controllers never make a tick twice, whatever each believes.
import { type Sql, toJsonValue } from '../platform/store.ts';
import { admit, renderWaitS } from './admit.ts';
import { stretchOf } from './brownout.ts';
import type { SequencerParts } from './parts.ts';
import { countDue, listNext, type Schedule } from './schedule.ts';
import type { TaskClass } from './settings.ts';
import { NOW } from './time.ts';

interface DueTask extends Schedule {
  id: string;
  site: string;
  class: TaskClass;
  whenDueRunning: 'skip' | 'queue';
  missed: 'latest' | 'none' | 'all';
  missedCap: number;
  dueAt: string;
  /** The time at which the decision counts: now, or when it is due. */
  nowAt: string;
  brownout: number;
  /** A run of it that waits, and one that lives. */
  pending: number | null;
  pendingWhy: string | null;
  live: number | null;
}

interface NewRun {
  task: string;
  site: string;
  dueAt: string;
  why: string;
}
interface NewSkip {
  task: string;
  site: string;
  dueAt: string;
  ticks: number;
  why: string;
}

/** A due time that is older than this was missed: the controller was away or overloaded. */
const MISSED_AFTER_MS = 60_000;

/** What becomes of one due task: runs, skips, and the next time. Pure, so that every rule is tested without a store. */
export function decideTick(task: DueTask): { runs: NewRun[]; skips: NewSkip[]; nextAt: string | null } {
  const [due, now] = [new Date(task.dueAt), new Date(task.nowAt)];
  const { id, site } = task;
  const stretch = stretchOf(task.brownout, task.class);
  const { ticks, last, next } = countDue(task, due, now, stretch);
  const nextAt = next?.toISOString() ?? null;
  const skip = (from: Date, count: number, why: string): NewSkip[] =>
    count === 0 ? [] : [{ task: id, site, dueAt: from.toISOString(), ticks: count, why }];
  const late = now.getTime() - last.getTime() > MISSED_AFTER_MS;
  const missedWhy = (count: number) =>
    `${count === 1 ? 'the tick was' : `${count} ticks were`} missed while no controller ran or time was lost`;

  if (task.pending !== null)
    return {
      runs: [],
      skips: skip(due, ticks, `its run ${task.pending} still waits: ${task.pendingWhy ?? ''}`),
      nextAt,
    };
  if (task.live !== null && task.whenDueRunning === 'skip')
    return { runs: [], skips: skip(due, ticks, `its run ${task.live} was still running`), nextAt };
  if (task.missed === 'none' && late) return { runs: [], skips: skip(due, ticks, missedWhy(ticks)), nextAt };

  const run = (at: Date): NewRun => ({ task: id, site, dueAt: at.toISOString(), why: 'due; waits for its turn' });
  if (task.missed === 'all' && ticks > 1) {
    // One at a time, since one may be pending: the oldest of those that are still wanted, and the next is due at once.
    const dropped = Math.max(0, ticks - task.missedCap);
    const times = [due, ...listNext(task, due, dropped + 1, stretch)];
    return {
      runs: [run(times[dropped] ?? due)],
      skips: skip(due, dropped, `${missedWhy(dropped)}; only ${task.missedCap} are made up for`),
      nextAt: times[dropped + 1]?.toISOString() ?? null,
    };
  }
  return { runs: [run(last)], skips: skip(due, ticks - 1, missedWhy(ticks - 1)), nextAt };
}

export interface Ticked {
  /** Tasks that were due, or nearly; fewer than the batch means that none is left. */
  due: number;
  runs: number;
  skips: number;
  /** In how many milliseconds runs may start that may not yet. */
  startsInMs: number[];
}

/** One batch. */
export async function tickBatch(parts: SequencerParts): Promise<Ticked> {
  const { store, time, settings } = parts;
  return store.transaction(async (sql) => {
    const tasks = await claimDue(sql, parts);
    if (tasks.length === 0) return { due: 0, runs: 0, skips: 0, startsInMs: [] };
    const decided = tasks.map((task) => ({ id: task.id, ...decideTick(task) }));
    const runs = decided.flatMap((one) => one.runs);
    const skips = decided.flatMap((one) => one.skips);
    await insertRuns(sql, time.at(), 'tick', runs);
    await insertSkips(sql, time.at(), skips);
    await sql.query(
      `UPDATE task SET next_at = new."nextAt" FROM jsonb_to_recordset($1::jsonb) AS new (id text, "nextAt" timestamptz)
       WHERE task.id = new.id`,
      [toJsonValue(decided.map(({ id, nextAt }) => ({ id, nextAt })))],
    );
    await admit(
      sql,
      time,
      runs.map((run) => run.site),
      settings,
    );
    const startsInMs = [...new Set(tasks.map(({ inMs }) => Math.ceil(inMs)))].filter((inMs) => inMs > 0);
    return { due: tasks.length, runs: runs.length, skips: skips.length, startsInMs };
  }, 'read committed');
}

function claimDue(sql: Sql, { time, settings }: SequencerParts): Promise<(DueTask & { inMs: number })[]> {
  return sql.query<DueTask & { inMs: number }>(
    `SELECT task.id, task.site, task.class, task.every_s AS "everyS", task.offset_s AS "offsetS", task.cron, task.zone,
       task.when_due_running AS "whenDueRunning", task.missed, task.missed_cap AS "missedCap", task.next_at AS "dueAt",
       greatest(${NOW}, task.next_at) AS "nowAt", extract(epoch FROM task.next_at - ${NOW})::float8 * 1000 AS "inMs", (SELECT brownout FROM fleet_state) AS brownout,
       pending.id AS pending, pending.why AS "pendingWhy", live.id AS live
     FROM task
     -- Two looks into indexes for each; as joins they would depend on statistics, which a queue outruns.
     LEFT JOIN LATERAL (SELECT id, why FROM run WHERE run.task = task.id AND run.state = 'queued' LIMIT 1) AS pending ON true
     LEFT JOIN LATERAL (
       SELECT id FROM run WHERE run.overlap_key = task.overlap_key AND run.open AND run.state <> 'queued' LIMIT 1
     ) AS live ON true
     WHERE task.next_at <= ${NOW} + make_interval(secs => $3)
       -- Before its time only what then needs no decision.
       AND (task.next_at <= ${NOW} OR (pending.id IS NULL AND live.id IS NULL))
       -- What makes up for every missed tick waits until it can.
       AND (task.missed <> 'all' OR (pending.id IS NULL AND (live.id IS NULL OR task.when_due_running = 'queue')))
     ORDER BY task.next_at LIMIT $2 FOR UPDATE OF task SKIP LOCKED`,
    [time.at(), settings.batch, settings.aheadMs / 1000],
  );
}

/** Puts runs into their sites' queues. The tasks' rows are locked by the caller. */
export async function insertRuns(
  sql: Sql,
  at: Date | null,
  kind: 'tick' | 'manual',
  runs: readonly NewRun[],
): Promise<number[]> {
  if (runs.length === 0) return [];
  const rows = await sql.query<{ id: number }>(
    `INSERT INTO run (task, site, pool, overlap_key, kind, due_at, class, enqueued_at, not_before, turn, cost_s, why)
     SELECT task.id, task.site, site.pool, task.overlap_key, $2, new."dueAt", task.class, ${NOW}, greatest(${NOW}, new."dueAt"),
       greatest(${NOW}, new."dueAt") + make_interval(secs => ${renderWaitS('task.class')}), task.cost_s, new.why
     FROM jsonb_to_recordset($3::jsonb) AS new (task text, "dueAt" timestamptz, why text)
     JOIN task ON task.id = new.task JOIN site ON site.id = task.site
     RETURNING id`,
    [at, kind, toJsonValue(runs)],
  );
  return rows.map((row) => row.id);
}

/** Records ticks that are not run. */
export async function insertSkips(sql: Sql, at: Date | null, skips: readonly NewSkip[]): Promise<void> {
  if (skips.length === 0) return;
  await sql.query(
    `INSERT INTO run_history (task, site, kind, due_at, ticks, state, attempt, ended_at, why)
     SELECT task, site, 'tick', "dueAt", ticks, 'skipped', 0, ${NOW}, why
     FROM jsonb_to_recordset($2::jsonb) AS new (task text, site text, "dueAt" timestamptz, ticks int, why text)`,
    [at, toJsonValue(skips)],
  );
}

/** All that is due now or nearly, batch after batch. `onBatch` hears of each as it is stored. */
export async function runTicks(
  parts: SequencerParts,
  onBatch: (ticked: Ticked) => void,
  signal?: AbortSignal,
): Promise<{ due: number; runs: number; skips: number }> {
  const sum = { due: 0, runs: 0, skips: 0 };
  for (;;) {
    signal?.throwIfAborted();
    const ticked = await tickBatch(parts);
    sum.due += ticked.due;
    sum.runs += ticked.runs;
    sum.skips += ticked.skips;
    onBatch(ticked);
    if (ticked.due < parts.settings.batch) return sum;
  }
}
