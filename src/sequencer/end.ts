// The end of runs, many in one transaction: each carries its epoch, and one that is not the run's present epoch changes
// nothing and is counted. What ended goes to the history in the statement that takes it from the hot table.
import { type Sql, toJsonValue } from '../platform/store.ts';
import { renderGenerationKey } from '../pools/generations.ts';
import type { RunResult } from '../protocol/contract.ts';
import { admit, lockShares, renderWaitS } from './admit.ts';
import { stretchOf } from './brownout.ts';
import { renderGiven, transactByIndex } from './by-index.ts';
import { breakS, type EndCause, judge, type Verdict } from './judge.ts';
import { type SequencerParts, taskSubject } from './parts.ts';
import { countDue, readNext, type Schedule } from './schedule.ts';
import type { TaskClass } from './settings.ts';
import { insertSkips } from './tick.ts';
import { LATE, NOW } from './time.ts';

export type EndResult = Omit<RunResult, 'cause' | 'endedAt'> & { cause: EndCause; endedAt: string | null };

/** An end as it comes from an agent. */
export interface RunEnd {
  id: number;
  epoch: number;
  /** Only if the lease is still this one: what is reclaimed must not have been renewed meanwhile. */
  leaseUntil?: string;
  result: EndResult;
}

/** The agent's text, bounded once more and without what the database cannot store. */
const TAIL_MOST = 16_384;
const TOLD_MOST = 300;
const toTail = (tail: string): string => (tail === '' ? tail : tail.replaceAll('\u0000', '\uFFFD').slice(-TAIL_MOST));

/** What the agent, and not the program, says of an end: one line. */
function toTold({ cause, signal, tail }: EndResult): string {
  const isAgents = cause === 'could-not-start' || (cause === 'killed' && signal === null);
  return isAgents ? toTail(tail).trim().replaceAll(/\s+/g, ' ').replace(/\.$/, '').slice(0, TOLD_MOST) : '';
}

/** Seconds between two times of one server's clock; null when it did not say. */
function tookS({ startedAt, endedAt }: EndResult): number | null {
  return startedAt === null || endedAt === null ? null : (Date.parse(endedAt) - Date.parse(startedAt)) / 1000;
}

export interface Recorded {
  /** Ends that were taken. */
  ended: number;
  /** Ends with an epoch that is no longer the run's, or of a run that is gone. */
  stale: number;
}

/** Records ends. Safe to repeat: what was recorded before is stale then. */
export async function recordEnds(parts: SequencerParts, given: readonly RunEnd[]): Promise<Recorded> {
  if (given.length === 0) return { ended: 0, stale: 0 };
  // In one order, since two batches may bring the same ends: they wait for each other, never both at once.
  const ends = given.toSorted((a, b) => a.id - b.id);
  const isWell = ({ result }: RunEnd): boolean => result.cause === 'exit' && result.code === 0;
  const well = ends.filter(isWell);
  const ill = ends.filter((end) => !isWell(end));
  return transactByIndex(parts.store, async (sql) => {
    const succeeded = await recordSuccesses(sql, parts, well);
    const failed = await recordFailures(sql, parts, ill);
    const ended = succeeded.ended + failed.length;
    const stale = ends.filter((end) => end.leaseUntil === undefined).length - ended;
    if (stale > 0) await sql.query('UPDATE fleet_state SET stale_ends = stale_ends + $1', [stale]);
    await settle(sql, parts, [...succeeded.charges, ...failed], succeeded.waiting);
    return { ended, stale: Math.max(0, stale) };
  });
}

/** What a site used beyond what was expected, worker-seconds. */
export interface Charge {
  site: string;
  beyondS: number;
}

/**
 * Moves the sites on by what they really used, and opens what waited for the places that are free now, of these sites and of those
 * that are known to have some that wait.
 */
export async function settle(
  sql: Sql,
  parts: SequencerParts,
  charges: readonly Charge[],
  waiting: readonly string[] = [],
): Promise<void> {
  const sums = new Map<string, number>();
  for (const { site, beyondS } of charges) sums.set(site, (sums.get(site) ?? 0) + beyondS);
  const owed = [...sums].filter(([, beyondS]) => Math.abs(beyondS) > LEAST_CHARGE_S);
  if (owed.length > 0) {
    const owing = owed.map(([site]) => site);
    await lockShares(sql, owing);
    await sql.query(
      `UPDATE site_share SET finish = greatest(0, finish + owed.beyond / weight)
       FROM unnest($1::text[], $2::float8[]) AS owed (site, beyond) WHERE site_share.site = owed.site`,
      [owing, owed.map(([, beyondS]) => beyondS)],
    );
  }
  const asked = [...sums.keys()].filter((site) => !waiting.includes(site));
  const found =
    asked.length === 0
      ? []
      : await sql.query<{ site: string }>(
          `SELECT site FROM unnest($2::text[]) AS given (site) WHERE ${renderWaits('given', '$3')}`,
          [parts.time.at(), asked, parts.settings.aheadMs / 1000],
        );
  await admit(sql, parts.time, [...waiting, ...found.map(({ site }) => site)], parts.settings);
}

/** Whether a site has a run that waits and whose time has come, as SQL: one look into an index, whatever the statistics say. */
const renderWaits = (from: string, aheadS: string): string =>
  `(SELECT true FROM run WHERE run.site = ${from}.site AND NOT open AND not_before <= ${NOW} + make_interval(secs => ${aheadS}) LIMIT 1) IS NOT NULL`;

/** Less is not worth a write. */
const LEAST_CHARGE_S = 0.05;
/** A task's expected cost follows what its runs take: a fifth of the way each time, when it is off by more than a fifth. */
const COST_STEP = 0.2;
/** What a run used of a worker: what its server measured, but no more than passed since it was leased. */
const USED_S = `greatest(0, least(given.took, extract(epoch FROM ${LATE} - leased_at)::float8))`;
const COLUMNS = `id, task, site, kind, due_at, state, attempt, epoch, server, node, enqueued_at, leased_at, started_at,
  ended_at, placement, why, cause, code, signal, cpu_s, peak_memory_bytes, tail`;

const GIVEN_SUCCESSES = renderGiven(
  ['$2::bigint[]', '$3::bigint[]', '$4::float8[]', '$5::float8[]', '$6::text[]', '$7::float8[]'],
  'id, epoch, cpu, peak, tail, took',
);

interface Succeeded {
  ended: number;
  /** Of sites that used clearly more or less than was expected. */
  charges: Charge[];
  /** Sites in which something waits for the places that are free now. */
  waiting: string[];
}

async function recordSuccesses(
  sql: Sql,
  { time, settings }: SequencerParts,
  ends: readonly RunEnd[],
): Promise<Succeeded> {
  if (ends.length === 0) return { ended: 0, charges: [], waiting: [] };
  const [row] = await sql.query<{ ended: number; sites: string[]; beyond: number[]; waiting: string[] }>(
    `WITH gone AS (
       DELETE FROM run USING ${GIVEN_SUCCESSES} AS given
       WHERE run.id = given.id AND run.epoch = given.epoch AND run.state <> given.waiting
       RETURNING run.id, task, site, kind, due_at, attempt, run.epoch, server, node, enqueued_at, leased_at, started_at, placement, cost_s,
         given.cpu, given.peak, given.tail, ${USED_S} AS used
     ), kept AS (
       INSERT INTO run_history (${COLUMNS})
       SELECT id, task, site, kind, due_at, 'succeeded', attempt, epoch, server, node, enqueued_at, leased_at,
         coalesce(started_at, leased_at), ${NOW}, placement, '', 'exit', 0, NULL, cpu, peak, tail FROM gone
     ), telling AS (
       -- What says something new about its task: it took otherwise than it was thought to, or the task was in trouble.
       SELECT task, used FROM gone WHERE abs(used - cost_s) > greatest(${LEAST_CHARGE_S}, ${COST_STEP} * cost_s)
         OR task IN (SELECT id FROM task WHERE failures > 0 OR trips > 0 OR attention IS NOT NULL)
     ), learnt AS (
       UPDATE task SET failures = 0, trips = 0, broken_until = NULL, attention = NULL,
         cost_s = greatest(0.01, task.cost_s + ${COST_STEP} * (telling.used - task.cost_s))
       FROM telling WHERE task.id = telling.task
     ), own AS (
       SELECT site, runs, beyond, ${renderWaits('charged', '$8')} AS waits
       FROM (SELECT site, count(*) AS runs, sum(used - cost_s) AS beyond FROM gone GROUP BY site) AS charged
     )
     SELECT coalesce(sum(runs), 0)::int AS ended,
       coalesce(array_agg(site) FILTER (WHERE abs(beyond) > ${LEAST_CHARGE_S}), '{}') AS sites,
       coalesce(array_agg(beyond) FILTER (WHERE abs(beyond) > ${LEAST_CHARGE_S}), '{}') AS beyond,
       coalesce(array_agg(site) FILTER (WHERE waits), '{}') AS waiting
     FROM own`,
    [
      ...[time.at(), ends.map(({ id }) => id), ends.map(({ epoch }) => epoch)],
      ...[ends.map(({ result }) => result.cpuS), ends.map(({ result }) => result.peakMemoryBytes)],
      ...[ends.map(({ result }) => toTail(result.tail)), ends.map(({ result }) => tookS(result))],
      settings.aheadMs / 1000,
    ],
  );
  if (row === undefined) throw new Error('an aggregate without groups has one row');
  const charges = row.sites.map((site, index) => ({ site, beyondS: row.beyond[index] ?? 0 }));
  return { ended: row.ended, charges, waiting: row.waiting };
}

interface GoneRun extends Schedule {
  id: number;
  task: string;
  site: string;
  kind: 'tick' | 'manual';
  dueAt: string;
  attempt: number;
  epoch: number;
  server: string;
  node: string;
  enqueuedAt: string;
  leasedAt: string;
  startedAt: string | null;
  cancelledBy: string | null;
  placement: string | null;
  usedS: number;
  costS: number;
  nowAt: string;
  timeoutS: number;
  class: TaskClass;
  memoryMb: number | null;
  retryLimit: number;
  retryFirstS: number;
  retryMostS: number;
  whenLost: 'retry' | 'fail';
  barred: string | null;
  failures: number;
  trips: number;
  nextAt: string | null;
  brownout: number;
}

const GIVEN_FAILURES = renderGiven(
  ['$2::bigint[]', '$3::bigint[]', '$4::timestamptz[]', '$5::float8[]'],
  'id, epoch, lease_until, took',
);

/** Takes the runs of these ends from the hot table, with what their tasks say about ends. */
async function takeGone(sql: Sql, { time }: SequencerParts, ends: readonly RunEnd[]): Promise<GoneRun[]> {
  return sql.query<GoneRun>(
    `WITH gone AS (
       DELETE FROM run USING ${GIVEN_FAILURES} AS given
       WHERE run.id = given.id AND run.epoch = given.epoch AND run.state <> given.waiting
         AND (given.lease_until IS NULL OR run.lease_until = given.lease_until)
       RETURNING run.*, ${USED_S} AS used
     )
     SELECT gone.id, gone.task, gone.site, gone.kind, gone.due_at AS "dueAt", gone.attempt, gone.epoch, gone.server, gone.node,
       gone.enqueued_at AS "enqueuedAt", gone.leased_at AS "leasedAt", gone.started_at AS "startedAt",
       gone.cancelled_by AS "cancelledBy", gone.placement, gone.used AS "usedS", gone.cost_s AS "costS", ${NOW} AS "nowAt",
       task.timeout_s AS "timeoutS", task.class, task.memory_mb AS "memoryMb", task.retry_limit AS "retryLimit",
       task.retry_first_s AS "retryFirstS", task.retry_most_s AS "retryMostS", task.when_lost AS "whenLost",
       CASE WHEN task.site_closed THEN 'its site is closed' WHEN task.paused_by IS NOT NULL THEN 'the task is paused'
         WHEN gone.cancelled_by IS NOT NULL THEN 'it was cancelled'
         WHEN EXISTS (SELECT FROM run WHERE run.task = gone.task AND run.state = 'queued') THEN 'a newer run waits already'
       END AS barred,
       task.failures, task.trips, task.next_at AS "nextAt", task.every_s AS "everyS", task.offset_s AS "offsetS", task.cron,
       task.zone, (SELECT brownout FROM fleet_state) AS brownout
     FROM gone JOIN task ON task.id = gone.task ORDER BY gone.task FOR UPDATE OF task`,
    [
      ...[time.at(), ends.map(({ id }) => id), ends.map(({ epoch }) => epoch)],
      ...[ends.map(({ leaseUntil }) => leaseUntil), ends.map(({ result }) => tookS(result))],
    ],
  );
}

async function recordFailures(sql: Sql, parts: SequencerParts, ends: readonly RunEnd[]): Promise<Charge[]> {
  if (ends.length === 0) return [];
  const gone = await takeGone(sql, parts, ends);
  const results = new Map(ends.map(({ id, result }) => [id, result]));
  const judged = gone.flatMap((run) => {
    const result = results.get(run.id);
    if (result === undefined) return [];
    return [
      {
        run,
        result,
        verdict: judge({ ...run, ...result, told: toTold(result) }, run, parts.random),
      },
    ];
  });
  await insertHistory(sql, parts, judged);
  await insertRetries(sql, parts, judged);
  for (const { run, verdict } of judged) {
    if (verdict.retryInS === undefined && verdict.state !== 'cancelled' && verdict.state !== 'succeeded')
      await noteFailure(sql, parts, run, verdict);
  }
  return gone.map((run) => ({ site: run.site, beyondS: run.usedS - run.costS }));
}

type Judged = { run: GoneRun; result: EndResult; verdict: Verdict };

async function insertHistory(sql: Sql, { time }: SequencerParts, judged: readonly Judged[]): Promise<void> {
  const rows = judged.map(({ run, result, verdict }) => ({
    ...run,
    state: verdict.state,
    why: verdict.why,
    ...{
      cause: result.cause,
      code: result.code,
      signal: result.signal,
      cpu: result.cpuS,
      peak: result.peakMemoryBytes,
    },
    tail: toTail(result.tail),
  }));
  await sql.query(
    `INSERT INTO run_history (${COLUMNS})
     SELECT id, task, site, kind, "dueAt", state, attempt, epoch, server, node, "enqueuedAt", "leasedAt", "startedAt",
       ${NOW}, placement, why, cause, code, signal, cpu, peak, tail
     FROM jsonb_to_recordset($2::jsonb) AS new (id bigint, task text, site text, kind text, "dueAt" timestamptz, state text,
       attempt int, epoch bigint, server text, node text, "enqueuedAt" timestamptz, "leasedAt" timestamptz,
       "startedAt" timestamptz, placement text, why text, cause text, code int, signal text, cpu float8, peak float8, tail text)`,
    [time.at(), toJsonValue(rows)],
  );
}

/** The next attempt: a run of its own with the same due time, among those that wait. */
async function insertRetries(sql: Sql, { time }: SequencerParts, judged: readonly Judged[]): Promise<void> {
  const rows = judged.flatMap(({ run, verdict: { retryInS, why } }) => {
    const { id, attempt, kind, task, dueAt, enqueuedAt } = run;
    if (retryInS === undefined) return [];
    return [
      {
        attempt: attempt + 1,
        kind,
        task,
        dueAt,
        enqueuedAt,
        inS: retryInS,
        why: `the attempt before it, run ${id}, ${why}`,
      },
    ];
  });
  if (rows.length === 0) return;
  await sql.query(
    `INSERT INTO run (task, site, uid, pool, overlap_key, kind, due_at, attempt, class, enqueued_at, not_before, turn, cost_s, why)
     SELECT task.id, task.site, site.uid, ${renderGenerationKey('site.pool', 'site.generation')}, task.overlap_key, new.kind, new."dueAt", new.attempt, task.class, new."enqueuedAt",
       ${NOW} + make_interval(secs => new."inS"), ${NOW} + make_interval(secs => new."inS" + ${renderWaitS('task.class')}),
       task.cost_s, new.why
     FROM jsonb_to_recordset($2::jsonb) AS new (kind text, task text, "dueAt" timestamptz, attempt int,
       "enqueuedAt" timestamptz, "inS" float8, why text)
     JOIN task ON task.id = new.task JOIN site ON site.id = task.site`,
    [time.at(), toJsonValue(rows)],
  );
}

/** A task whose run failed for good needs attention; after several in a row its circuit breaker opens. */
async function noteFailure(sql: Sql, parts: SequencerParts, run: GoneRun, verdict: Verdict): Promise<void> {
  const { time, settings, events } = parts;
  const now = new Date(run.nowAt);
  const failures = run.failures + 1;
  const openS = breakS(failures, run.trips, settings);
  const attention = { run: run.id, cause: verdict.state, sentence: verdict.what, since: run.nowAt };
  const by = 'sequencer';
  if (run.failures === 0)
    await events.append(sql, {
      kind: 'task.needs-attention',
      subject: taskSubject(run.task),
      by,
      reason: verdict.what,
      data: { run: run.id },
    });
  if (openS === undefined || run.nextAt === null) {
    await sql.query(
      `UPDATE task SET failures = $2, attention = CASE WHEN attention IS NULL THEN $3::jsonb
         ELSE $3::jsonb || jsonb_build_object('since', attention -> 'since') END WHERE id = $1`,
      [run.task, failures, toJsonValue(attention)],
    );
    return;
  }
  const until = new Date(now.getTime() + openS * 1000);
  const stretch = stretchOf(run.brownout, run.class);
  const due = new Date(run.nextAt);
  const nextAt = readNext(run, until, stretch);
  const why = `the circuit breaker is open until ${until.toISOString().slice(0, 19).replace('T', ' ')} UTC: ${failures} failures in a row, the last one ${verdict.what}`;
  if (due <= until) {
    const { ticks } = countDue(run, due, until, stretch);
    await insertSkips(sql, time.at(), [{ task: run.task, site: run.site, dueAt: run.nextAt, ticks, why }]);
  }
  await sql.query(
    `UPDATE task SET failures = $2, trips = trips + 1, broken_until = $3, next_at = $4,
       attention = CASE WHEN attention IS NULL THEN $5::jsonb
         ELSE $5::jsonb || jsonb_build_object('since', attention -> 'since') END WHERE id = $1`,
    [run.task, failures, until, nextAt !== null && due > nextAt ? due : nextAt, toJsonValue(attention)],
  );
  await events.append(sql, { kind: 'task.breaker-opened', subject: taskSubject(run.task), by, reason: why });
}
