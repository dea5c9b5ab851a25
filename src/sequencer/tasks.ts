// Tasks come: from a person, checked whole before anything is stored, or from the recipe of a site's app when the site is made.
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { RecipeTask } from '../apps/recipe.ts';
import { commonProblems } from '../lib/errors.ts';
import type { Asker } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { readSite } from '../sites/store.ts';
import { type SequencerParts, taskSubject } from './parts.ts';
import { taskProblems } from './problems.ts';
import { assertCron, assertZone, parseEvery, readNext, type Schedule, spreadOffset } from './schedule.ts';
import { insertTasks, type NewTaskRow, readTask, type TaskRow } from './task-store.ts';
import { readTime } from './time.ts';

const DAY_S = 86_400;

/** What a person says of a new task. */
export const newTaskSchema = z.strictObject({
  /** Name or id. */
  site: z.string(),
  name: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, 'must be a short name of a-z, 0-9 and "-"'),
  /** Program and arguments, run as the site's user; no shell. */
  command: z
    .array(
      z
        .string()
        .max(4096)
        .regex(/^[^\0]*$/, 'must not contain the character 0'),
    )
    .min(1)
    .max(100)
    .refine(([program]) => program !== '', 'must begin with a program'),
  /** `5m`; instead of `cron`. Without both it runs by hand only. */
  every: z.string().optional(),
  /** Five fields. */
  cron: z.string().max(200).optional(),
  /** Time zone of `cron`. */
  zone: z.string().max(80).default('UTC'),
  timeoutS: z
    .int()
    .min(1)
    .max(7 * DAY_S)
    .default(3600),
  class: z.enum(['urgent', 'normal', 'bulk']).default('normal'),
  /** Of the site's tasks with the same key one runs at a time. Default: the task itself. */
  overlapKey: z
    .string()
    .regex(/^[\w.-]{1,60}$/, 'must be 1 to 60 of a-z, 0-9, ".", "_", "-"')
    .optional(),
  whenDueRunning: z.enum(['skip', 'queue']).default('skip'),
  /** What becomes of a run whose server vanished: it may have done its work, so it is not done twice unless you say so. */
  whenLost: z.enum(['retry', 'fail']).default('fail'),
  /** What becomes of ticks that nobody was there to make. */
  missed: z.enum(['latest', 'none', 'all']).default('latest'),
  missedCap: z.int().min(1).max(1000).default(10),
  retryLimit: z.int().min(0).max(20).default(2),
  retryFirstS: z.int().min(1).max(DAY_S).default(30),
  retryMostS: z.int().min(1).max(DAY_S).default(600),
  /** People are told when a due tick is older; null: ten minutes, and the interval too while its run waits. */
  overdueAfterS: z
    .int()
    .min(1)
    .max(7 * DAY_S)
    .nullable()
    .default(null),
  cpuPercent: z.int().min(1).max(6400).nullable().default(null),
  memoryMb: z.int().min(16).max(1_048_576).nullable().default(null),
});
export type NewTask = z.infer<typeof newTaskSchema>;

const ID_ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';
const makeTaskId = (): string =>
  `t${[...randomBytes(9)].map((byte) => ID_ALPHABET[byte % ID_ALPHABET.length]).join('')}`;

/** Checks a schedule and gives the tick's offset to the task. */
function toSchedule(id: string, wish: Pick<NewTask, 'every' | 'cron' | 'zone'>, now: Date): Schedule {
  const { every, cron, zone } = wish;
  if (every !== undefined && cron !== undefined)
    throw commonProblems.make('invalid-input', { where: 'schedule', why: 'give either an interval or cron, not both' });
  assertZone(zone);
  if (cron !== undefined) assertCron(cron, zone, now);
  const everyS = every === undefined ? null : parseEvery(every);
  return { everyS, offsetS: everyS === null ? 0 : spreadOffset(id, everyS), cron: cron ?? null, zone };
}

/** Whether a site's tasks run. */
const isOpen = (state: string): boolean => state === 'ready';

function toRow(
  wish: NewTask,
  about: { site: string; open: boolean; origin: TaskRow['origin']; id: string; now: Date },
): NewTaskRow {
  const { id, site, open, origin, now } = about;
  const { every: _, overlapKey, retryMostS, ...rest } = wish;
  const schedule = toSchedule(id, wish, now);
  return {
    ...rest,
    ...schedule,
    id,
    site,
    origin,
    retryMostS: Math.max(retryMostS, wish.retryFirstS),
    overlapKey: `${site}/${overlapKey ?? id}`,
    siteClosed: !open,
    nextAt: open ? (readNext(schedule, now)?.toISOString() ?? null) : null,
  };
}

/** Stores a person's task. Throws before anything is stored when something is wrong with the wish. */
export async function addTask(sql: Sql, parts: SequencerParts, wish: NewTask, who: Asker): Promise<TaskRow> {
  const site = await readSite(sql, wish.site);
  if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name: wish.site });
  if (!isOpen(site.state)) throw taskProblems.make('site-closed', { site: site.name, state: site.state });
  const id = makeTaskId();
  const now = await readTime(sql, parts.time);
  const [stored] = await insertTasks(sql, [toRow(wish, { site: site.id, open: true, origin: 'person', id, now })]);
  if (stored === undefined) throw taskProblems.make('taken', { site: site.name, name: wish.name });
  const task = await readTask(sql, id);
  if (task === undefined) throw new Error('a task that was just stored is there');
  const data = { site: site.name, name: wish.name };
  await parts.events.append(sql, { kind: 'task.added', subject: taskSubject(id), ...who, data });
  return task;
}

/** Stores a person's task of a site that is not open yet; one of that name is left as it is. */
export async function addClosedTask(sql: Sql, parts: Pick<SequencerParts, 'time'>, wish: NewTask): Promise<void> {
  const now = await readTime(sql, parts.time);
  await insertTasks(sql, [toRow(wish, { site: wish.site, open: false, origin: 'person', id: makeTaskId(), now })]);
}

/**
 * Stores the tasks of a recipe for a site, paused until the site is open; those that it has are left as they are.
 * A recipe's interval may be `5m` or cron, in UTC.
 */
export async function addRecipeTasks(
  sql: Sql,
  parts: Pick<SequencerParts, 'time'>,
  site: { id: string; state: string },
  tasks: readonly RecipeTask[],
): Promise<void> {
  const now = await readTime(sql, parts.time);
  const rows = tasks.map(({ name, command, every, timeoutS, class: taskClass }) => {
    const when = every.includes(' ') ? { cron: every } : { every };
    const wish = newTaskSchema.parse({ site: site.id, name, command, timeoutS, class: taskClass, ...when });
    return toRow(wish, { site: site.id, open: isOpen(site.state), origin: 'recipe', id: makeTaskId(), now });
  });
  if (rows.length > 0) await insertTasks(sql, rows);
}
