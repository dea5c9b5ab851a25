// Why a task has not run, and why a run is where it is, in a sentence, from what holds now.
import type { Sql } from '../platform/store.ts';
import { fromGenerationKey } from '../pools/generations.ts';
import { IS_OPEN_OF_SITE } from './by-index.ts';
import { listRunNodes } from './choose.ts';
import type { Ledger } from './ledger.ts';
import type { SequencerParts } from './parts.ts';
import { refuse } from './pick-server.ts';
import { renderPlacement } from './placement.ts';
import type { TaskClass } from './settings.ts';
import type { TaskRow } from './task-store.ts';
import { readTime } from './time.ts';

export type WhyParts = SequencerParts & { ledger: Ledger };

interface PresentRun {
  id: number;
  state: string;
  open: boolean;
  pool: string;
  class: TaskClass;
  site: string;
  overlapKey: string;
  notBefore: string;
  server: string | null;
  since: string;
  why: string;
  placement: string | null;
}

const shortTime = (iso: string): string => `${iso.slice(0, 19).replace('T', ' ')} UTC`;

async function readPresent(sql: Sql, where: { task?: string; run?: number }): Promise<PresentRun[]> {
  return sql.query<PresentRun>(
    `SELECT id, state, open, pool, class, site, overlap_key AS "overlapKey", not_before AS "notBefore", server,
       coalesce(started_at, leased_at, enqueued_at) AS since, why, placement
     FROM run WHERE ($1::text IS NULL OR task = $1) AND ($2::bigint IS NULL OR id = $2) ORDER BY id`,
    [where.task ?? null, where.run ?? null],
  );
}

async function explainPresent(parts: WhyParts, run: PresentRun): Promise<string> {
  const { store, settings, ledger } = parts;
  const placed = renderPlacement(run.server ?? '', run.placement ?? '');
  if (run.state === 'running') return `run ${run.id} has been running since ${shortTime(run.since)}. ${placed}`;
  if (run.state === 'leased')
    return `run ${run.id} was given to ${run.server ?? ''} at ${shortTime(run.since)} and is starting. ${placed}`;
  const now = await readTime(store, parts.time);
  if (new Date(run.notBefore) > now) return `run ${run.id} waits until ${shortTime(run.notBefore)}: ${run.why}`;
  if (!run.open) {
    const [holder] = await store.query<{ id: number; state: string }>(
      'SELECT id, state FROM run WHERE overlap_key = $1 AND open',
      [run.overlapKey],
    );
    if (holder !== undefined)
      return `run ${run.id} waits for run ${holder.id}, which has the same overlap key and is ${holder.state}`;
    const [site] = await store.query<{ open: number; most: number | null }>(
      `SELECT (SELECT count(*) FROM run WHERE site = $1 AND ${IS_OPEN_OF_SITE}) AS open, (SELECT most FROM site_share WHERE site = $1) AS most`,
      [run.site],
    );
    return `run ${run.id} waits: its site has ${site?.open ?? 0} of the ${site?.most ?? settings.siteMost} runs that it may have at once`;
  }
  const nodes = (await listRunNodes(store)).get(run.pool);
  if (nodes === undefined) {
    const [workers] = await store.query<{ name: string }>(
      `SELECT name FROM pool WHERE works_for = $1 AND state = 'ready'`,
      [fromGenerationKey(run.pool).pool],
    );
    const whose =
      workers === undefined ? `the pool ${run.pool} has` : `the workers of ${run.pool} (${workers.name}) have`;
    return `run ${run.id} waits: ${whose} no ready node on a ready server`;
  }
  const fresh = ledger.fresh(settings.freshMs).filter((one) => nodes.has(one.server));
  const silent = [...nodes.keys()].filter((name) => !fresh.some((one) => one.server === name));
  const reasons = [
    ...fresh.flatMap((one) => refuse(one, run.class, settings) ?? []),
    ...silent.map((name) => `the agent of ${name} is silent`),
  ];
  if (reasons.length === 0) return `run ${run.id} is next in the order of service`;
  return `run ${run.id} waits for a slot: ${reasons.join('; ')}`;
}

/** Why a task is where it is. */
export async function explainTask(parts: WhyParts, task: TaskRow): Promise<string> {
  const present = await readPresent(parts.store, { task: task.id });
  const [run] = present;
  if (run !== undefined) return explainPresent(parts, run);
  if (task.siteClosed) return `its site is ${task.siteState}: none of its tasks run until it is ready`;
  if (task.pausedBy !== null)
    return `paused by ${task.pausedBy}${task.pausedReason === null ? '' : `: ${task.pausedReason}`}`;
  if (task.brokenUntil !== null)
    return `its circuit breaker is open until ${shortTime(task.brokenUntil)}, after ${task.failures} failures in a row: ${task.attention?.sentence ?? ''}`;
  const attention =
    task.attention === null
      ? ''
      : `needs attention since ${shortTime(task.attention.since)}: ${task.attention.sentence} (run ${task.attention.run}); `;
  const [last] = await parts.store.query<{ state: string; why: string; endedAt: string }>(
    'SELECT state, why, ended_at AS "endedAt" FROM run_history WHERE task = $1 ORDER BY ended_at DESC LIMIT 1',
    [task.id],
  );
  const next = task.nextAt === null ? 'it runs by hand only' : `due next at ${shortTime(task.nextAt)}`;
  if (attention !== '') return `${attention}${next}`;
  if (last === undefined)
    return task.nextAt === null ? 'it runs by hand only, and has not yet' : `it has not been due yet; ${next}`;
  const lastly = `last: ${last.state} at ${shortTime(last.endedAt)}${last.why === '' ? '' : ` (${last.why})`}`;
  return `${next}; ${lastly}`;
}

/** Why a run that waits or lives is where it is; undefined for ended ones, whose history has their sentence. */
export async function explainRun(parts: WhyParts, id: number): Promise<string | undefined> {
  const [run] = await readPresent(parts.store, { run: id });
  return run === undefined ? undefined : explainPresent(parts, run);
}
