// The tick: claims the tasks that are due, gives each due time one run or one recorded skip, and moves the task's next
// time on from its schedule, never from "now". One transaction a batch, rows locked and skipped when another controller has them,
// so two controllers never make a tick twice, whatever each believes.
import type { Sql } from '../platform/store.ts';
import { renderGenerationKey } from '../pools/generations.ts';
import { admit, lockShares, renderEntry, renderWaitS, SITE_START } from './admit.ts';
import { stretchOf } from './brownout.ts';
import { IS_OPEN_OF_SITE } from './by-index.ts';
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
  /** When the last of them was due: where the next batch begins. */
  last: string | undefined;
}

/** One batch, of what was due at `from` or later: before that lie the entries of all that has been ticked, which an open transaction keeps. */
export async function tickBatch(parts: SequencerParts, from?: string): Promise<Ticked> {
  const { store, time } = parts;
  return store.transaction(async (sql) => {
    const tasks = await claimDue(sql, parts, from);
    if (tasks.length === 0) return { due: 0, runs: 0, skips: 0, startsInMs: [], last: from };
    const decided = tasks.map((task) => ({ id: task.id, ...decideTick(task) }));
    const runs = decided.flatMap((one) => one.runs);
    const skips = decided.flatMap((one) => one.skips);
    await insertSkips(sql, time.at(), skips);
    await sql.query(
      `UPDATE task SET next_at = new.next_at FROM unnest($1::text[], $2::timestamptz[]) AS new (id, next_at) WHERE task.id = new.id`,
      [decided.map(({ id }) => id), decided.map(({ nextAt }) => nextAt)],
    );
    await insertRuns(sql, parts, 'tick', runs);
    const startsInMs = [...new Set(tasks.map(({ inMs }) => Math.ceil(inMs)))].filter((inMs) => inMs > 0);
    return { due: tasks.length, runs: runs.length, skips: skips.length, startsInMs, last: tasks.at(-1)?.dueAt };
  }, 'read committed');
}

function claimDue(
  sql: Sql,
  { time, settings }: SequencerParts,
  from: string | undefined,
): Promise<(DueTask & { inMs: number })[]> {
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
     WHERE task.next_at >= coalesce($4::timestamptz, '-infinity') AND task.next_at <= ${NOW} + make_interval(secs => $3)
       -- Before its time only what then needs no decision.
       AND (task.next_at <= ${NOW} OR (pending.id IS NULL AND live.id IS NULL))
       -- What makes up for every missed tick waits until it can.
       AND (task.missed <> 'all' OR (pending.id IS NULL AND (live.id IS NULL OR task.when_due_running = 'queue')))
     ORDER BY task.next_at LIMIT $2 FOR UPDATE OF task SKIP LOCKED`,
    [time.at(), settings.batch, settings.aheadMs / 1000, from ?? null],
  );
}

/**
 * Puts runs into their sites' queues, and opens what has room. What can be open at once is stored so: most sites have room, and
 * opening it later would write it and its indexes twice. The tasks' rows are locked by the caller. Returns the runs' ids.
 */
export async function insertRuns(
  sql: Sql,
  { time, settings }: Pick<SequencerParts, 'time' | 'settings'>,
  kind: 'tick' | 'manual',
  runs: readonly NewRun[],
): Promise<number[]> {
  if (runs.length === 0) return [];
  await lockShares(
    sql,
    runs.map((run) => run.site),
  );
  const [stored] = await sql.query<{ ids: number[]; waiting: string[] | null }>(
    `WITH new AS (
       SELECT task.id AS task, task.site, ${renderGenerationKey('site.pool', 'site.generation')} AS pool, site.uid, task.overlap_key, new.due_at, task.class, task.cost_s, new.why,
         greatest(${NOW}, new.due_at) AS not_before
       FROM unnest($3::text[], $4::timestamptz[], $5::text[]) AS new (task, due_at, why)
       JOIN task ON task.id = new.task JOIN site ON site.id = task.site
     ), roomy AS (
       -- Sites that have room for all of theirs, and nothing that waits before them.
       SELECT share.site, share.weight, ${SITE_START} AS start
       FROM (SELECT site, count(*) AS runs FROM new GROUP BY site) AS own JOIN site_share AS share USING (site)
       CROSS JOIN LATERAL (SELECT count(*) AS runs FROM run WHERE run.site = share.site AND ${IS_OPEN_OF_SITE}) AS held
       WHERE own.runs + held.runs <= coalesce(share.most, $6)
         AND (SELECT true FROM run WHERE run.site = share.site AND NOT open LIMIT 1) IS NULL
     ), inserted AS (
       INSERT INTO run (task, site, uid, pool, overlap_key, kind, due_at, class, enqueued_at, not_before, turn, cost_s, why, open)
       SELECT task, site, uid, pool, overlap_key, $2, due_at, class, ${NOW}, not_before,
         not_before + make_interval(secs => ${renderWaitS('class')}), cost_s, why,
         roomy.site IS NOT NULL AND row_number() OVER (PARTITION BY overlap_key ORDER BY due_at, task) = 1
           AND (SELECT true FROM run AS other WHERE other.overlap_key = new.overlap_key AND other.open LIMIT 1) IS NULL
       FROM new LEFT JOIN roomy USING (site)
       RETURNING id, pool, site, class, cost_s, not_before, turn, open
     ), opened AS (
       SELECT inserted.*, roomy.start, roomy.weight FROM inserted JOIN roomy USING (site) WHERE inserted.open
     ), ${renderEntry('opened')}
     SELECT array_agg(id ORDER BY id) AS ids, array_agg(DISTINCT site) FILTER (WHERE NOT open) AS waiting FROM inserted`,
    [
      ...[time.at(), kind, runs.map((run) => run.task), runs.map((run) => run.dueAt), runs.map((run) => run.why)],
      settings.siteMost,
    ],
  );
  await admit(sql, time, stored?.waiting ?? [], settings);
  return stored?.ids ?? [];
}

/** Records ticks that are not run. */
export async function insertSkips(sql: Sql, at: Date | null, skips: readonly NewSkip[]): Promise<void> {
  if (skips.length === 0) return;
  await sql.query(
    `INSERT INTO run_history (task, site, kind, due_at, ticks, state, attempt, ended_at, why)
     SELECT task, site, 'tick', due_at, ticks, 'skipped', 0, ${NOW}, why
     FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::int[], $6::text[]) AS new (task, site, due_at, ticks, why)`,
    [
      ...[at, skips.map((skip) => skip.task), skips.map((skip) => skip.site), skips.map((skip) => skip.dueAt)],
      ...[skips.map((skip) => skip.ticks), skips.map((skip) => skip.why)],
    ],
  );
}

/** All that is due now or nearly, batch after batch. `onBatch` hears of each as it is stored. */
export async function runTicks(
  parts: SequencerParts,
  onBatch: (ticked: Ticked) => void,
  signal?: AbortSignal,
): Promise<{ due: number; runs: number; skips: number }> {
  const sum = { due: 0, runs: 0, skips: 0 };
  let last: string | undefined;
  for (;;) {
    signal?.throwIfAborted();
    const ticked = await tickBatch(parts, last);
    last = ticked.last;
    sum.due += ticked.due;
    sum.runs += ticked.runs;
    sum.skips += ticked.skips;
    onBatch(ticked);
    if (ticked.due < parts.settings.batch) return sum;
  }
}
