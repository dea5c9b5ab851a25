// Tasks and runs as the API shows them. Apart from the routes, because list, one and every change answer with the same.
import { z } from '@hono/zod-openapi';
import { stretchOf } from './brownout.ts';
import { renderPlacement } from './placement.ts';
import type { RunView } from './run-store.ts';
import { listNext, renderSchedule } from './schedule.ts';
import type { TaskRow } from './task-store.ts';

export const taskSchema = z
  .object({
    id: z.string(),
    name: z.string().describe('SITE/NAME'),
    site: z.string(),
    origin: z.enum(['recipe', 'person']),
    state: z.enum(['due', 'paused', 'closed', 'broken', 'by hand']),
    reason: z.string().optional().describe('Why it is where it is; of one task only'),
    command: z.array(z.string()),
    schedule: z.string().describe('In words, with what the brownout makes of it'),
    every: z.number().nullable().describe('Seconds'),
    cron: z.string().nullable(),
    zone: z.string(),
    nextAt: z.string().nullable(),
    nextTimes: z.array(z.string()).describe('The next five'),
    class: z.enum(['urgent', 'normal', 'bulk']),
    timeoutS: z.number(),
    overlapKey: z.string(),
    whenDueRunning: z.enum(['skip', 'queue']),
    whenLost: z.enum(['retry', 'fail']),
    missed: z.enum(['latest', 'none', 'all']),
    missedCap: z.number(),
    retries: z.object({ limit: z.number(), firstS: z.number(), mostS: z.number() }),
    overdueAfterS: z.number().nullable().describe('People are told when a due tick is older; null: the default'),
    limits: z.object({ cpuPercent: z.number().nullable(), memoryMb: z.number().nullable() }),
    pausedBy: z.string().nullable(),
    pausedReason: z.string().nullable(),
    failures: z.number(),
    brokenUntil: z.string().nullable(),
    attention: z.object({ run: z.number(), cause: z.string(), sentence: z.string(), since: z.string() }).nullable(),
    expectedS: z.number().describe('What a run is expected to take'),
    createdAt: z.string(),
  })
  .openapi('Task');
export type TaskView = z.infer<typeof taskSchema>;

/** As the store gives times that have no part of a second. */
const toIsoSeconds = (time: Date): string => time.toISOString().replace('.000Z', 'Z');

function stateOf(task: TaskRow): TaskView['state'] {
  if (task.siteClosed) return 'closed';
  if (task.pausedBy !== null) return 'paused';
  if (task.brokenUntil !== null) return 'broken';
  return task.nextAt === null ? 'by hand' : 'due';
}

/** A task as the API shows it. */
export function toTaskView(task: TaskRow, brownout: { level: number; reason: string }, reason?: string): TaskView {
  const stretch = task.everyS === null ? 1 : stretchOf(brownout.level, task.class);
  const times =
    task.nextAt === null ? [] : [new Date(task.nextAt), ...listNext(task, new Date(task.nextAt), 4, stretch)];
  return {
    id: task.id,
    name: `${task.siteName}/${task.name}`,
    site: task.siteName,
    origin: task.origin,
    state: stateOf(task),
    ...(reason === undefined ? {} : { reason }),
    command: task.command,
    schedule: `${renderSchedule(task, stretch)}${stretch === 1 ? '' : `: ${brownout.reason}`}`,
    every: task.everyS,
    cron: task.cron,
    zone: task.zone,
    nextAt: task.nextAt,
    nextTimes: times.map(toIsoSeconds),
    class: task.class,
    timeoutS: task.timeoutS,
    overlapKey: task.overlapKey.slice(task.site.length + 1),
    whenDueRunning: task.whenDueRunning,
    whenLost: task.whenLost,
    missed: task.missed,
    missedCap: task.missedCap,
    retries: { limit: task.retryLimit, firstS: task.retryFirstS, mostS: task.retryMostS },
    overdueAfterS: task.overdueAfterS,
    limits: { cpuPercent: task.cpuPercent, memoryMb: task.memoryMb },
    pausedBy: task.pausedBy,
    pausedReason: task.pausedReason,
    failures: task.failures,
    brokenUntil: task.brokenUntil,
    attention: task.attention,
    expectedS: task.costS,
    createdAt: task.createdAt,
  };
}

export const runSchema = z
  .object({
    id: z.number().nullable().describe('Null for skipped ticks'),
    task: z.string().describe('SITE/NAME'),
    kind: z.string().describe('tick, manual'),
    state: z.string().describe('queued, leased, running, succeeded, failed, timed out, lost, skipped, cancelled'),
    dueAt: z.string(),
    ticks: z.number().describe('Of a skip: how many due times, from dueAt on'),
    attempt: z.number(),
    epoch: z.number().nullable(),
    server: z.string().nullable(),
    node: z.string().nullable(),
    enqueuedAt: z.string().nullable(),
    startedAt: z.string().nullable(),
    endedAt: z.string().nullable(),
    reason: z.string().describe('Why it is in its state, or how it ended'),
    placement: z.string().nullable().describe('Why it ran on that server'),
    cause: z.string().nullable(),
    code: z.number().nullable(),
    signal: z.string().nullable(),
    cpuS: z.number().nullable(),
    peakMemoryBytes: z.number().nullable(),
  })
  .openapi('Run');

/** A run as the API shows it. */
export function toRunView({ site, taskName, placement, ...run }: RunView): z.infer<typeof runSchema> {
  const isPlaced = run.state !== 'queued' && run.server !== null && placement !== null;
  const live = run.state === 'leased' || run.state === 'running';
  return {
    ...run,
    task: `${site}/${taskName}`,
    reason: (live ? '' : run.reason) || OUTCOMES[run.state] || run.state,
    placement: isPlaced ? renderPlacement(run.server ?? '', placement) : null,
  };
}

/** What a state says by itself. */
const OUTCOMES: Readonly<Record<string, string>> = {
  leased: 'it is being started',
  running: 'it runs',
  succeeded: 'ended with exit code 0',
};
