// Schedules: every N seconds with an offset of the task's own, or cron in a time zone. Pure functions of times; what is
// due and what happens then is in tick.ts.
import { createHash } from 'node:crypto';
import { Cron } from 'croner';
import { taskProblems } from './problems.ts';

/** Nothing set: by hand only. */
export interface Schedule {
  everyS: number | null;
  /** Shifts every-N ticks, so that tasks with equal intervals spread; less than `everyS`. */
  offsetS: number;
  /** Five fields. */
  cron: string | null;
  /** IANA name. */
  zone: string;
}

const UNIT_S: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };
const MOST_EVERY_S = 366 * 86_400;

/** Seconds of `5m`, `90s`, `1h`, `2d`. Throws `task.bad-interval`. */
export function parseEvery(every: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(every) ?? [];
  const seconds = Number(count) * (UNIT_S[unit ?? ''] ?? Number.NaN);
  if (!(seconds >= 1 && seconds <= MOST_EVERY_S)) throw taskProblems.make('bad-interval', { every });
  return seconds;
}

/** The offset of a task by its id: a hash, so that it stays when the task is made anew, and spreads evenly. */
export function spreadOffset(id: string, everyS: number): number {
  return createHash('sha256').update(id).digest().readUInt32BE(0) % everyS;
}

function makeCron(cron: string, zone: string): Cron {
  return new Cron(cron, { paused: true, timezone: zone, mode: '5-part' });
}

/** Throws `task.unknown-zone`. */
export function assertZone(zone: string): void {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
  } catch (thrown) {
    throw taskProblems.make('unknown-zone', { zone }, thrown);
  }
}

/** Checks a cron text and its zone at `now`. Throws `task.bad-cron`, `task.unknown-zone` or `task.never-due`. */
export function assertCron(cron: string, zone: string, now: Date): void {
  assertZone(zone);
  let next: Date | null;
  try {
    next = makeCron(cron, zone).nextRun(now);
  } catch (thrown) {
    const why = (thrown instanceof Error ? thrown.message : String(thrown))
      .replace(/^Cron\w+: /, '')
      .replace(/\.$/, '');
    throw taskProblems.make('bad-cron', { cron, why }, thrown);
  }
  if (next === null) throw taskProblems.make('never-due', { cron });
}

/**
 * The first due time after `after`, or null. `stretch` is the brownout's: of an every-N schedule every `stretch`th tick
 * is due. Cron's times are people's wishes of when, and are not stretched.
 *
 * Daylight saving, as croner has it: in the gap of spring a fixed time is due once, at the gap's end, and a pattern of several
 * minutes within the gap not at all; in the overlap of autumn a fixed time is due once, a pattern (`*`, lists) twice.
 */
export function readNext(schedule: Schedule, after: Date, stretch = 1): Date | null {
  const { everyS, offsetS, cron, zone } = schedule;
  if (everyS !== null) {
    const step = everyS * stretch * 1000;
    const offset = offsetS * 1000;
    return new Date((Math.floor((after.getTime() - offset) / step) + 1) * step + offset);
  }
  return cron === null ? null : makeCron(cron, zone).nextRun(after);
}

/** The next `count` due times. */
export function listNext(schedule: Schedule, after: Date, count: number, stretch = 1): Date[] {
  const times: Date[] = [];
  for (let at: Date | null = after; times.length < count; ) {
    at = readNext(schedule, at, stretch);
    if (at === null) break;
    times.push(at);
  }
  return times;
}

/** Counting by cron's steps is bounded: a controller that was away for a year need not know how many minutes it missed. */
const MOST_COUNTED = 10_000;

/** What was due from `first` (itself due) to `now`: how many times, the last of them, and the next one after. */
export function countDue(
  schedule: Schedule,
  first: Date,
  now: Date,
  stretch = 1,
): { ticks: number; last: Date; next: Date | null } {
  if (schedule.everyS !== null) {
    // `first` may lie between the steps: the stretch was another one when it was set.
    const next = readNext(schedule, now, stretch) ?? now;
    const second = readNext(schedule, first, stretch) ?? next;
    if (second > now) return { ticks: 1, last: first, next };
    const stepMs = schedule.everyS * stretch * 1000;
    const last = new Date(next.getTime() - stepMs);
    return { ticks: 2 + Math.round((last.getTime() - second.getTime()) / stepMs), last, next };
  }
  let ticks = 1;
  let last = first;
  for (;;) {
    const next = readNext(schedule, last);
    if (next === null || next > now) return { ticks, last, next };
    if (ticks === MOST_COUNTED) return { ticks, last, next: readNext(schedule, now) };
    ticks += 1;
    last = next;
  }
}

/** `5 min`, `2 h`, `90 s`. */
export function renderInterval(seconds: number): string {
  for (const [size, unit] of [
    [86_400, 'day'],
    [3600, 'h'],
    [60, 'min'],
  ] as const) {
    if (seconds % size === 0) return `${seconds / size} ${unit}${unit === 'day' && seconds > size ? 's' : ''}`;
  }
  return `${seconds} s`;
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];

/** The schedule in words: `every 5 min`, `at 03:30 (Europe/Vienna)`; patterns without simple words as they are. */
export function renderSchedule(schedule: Schedule, stretch = 1): string {
  const { everyS, cron, zone } = schedule;
  if (everyS !== null) {
    const words = `every ${renderInterval(everyS)}`;
    return stretch === 1 ? words : `${words}, now every ${renderInterval(everyS * stretch)}`;
  }
  if (cron === null) return 'by hand only';
  const [minute = '', hour = '', day = '', month = '', weekday = ''] = cron.trim().split(/\s+/);
  const place = `(${zone})`;
  const plain = (text: string) => /^\d+$/.test(text);
  const daily = day === '*' && month === '*';
  if (plain(minute) && plain(hour) && month === '*') {
    const at = `at ${hour.padStart(2, '0')}:${minute.padStart(2, '0')} ${place}`;
    if (daily && weekday === '*') return `every day ${at}`;
    if (daily && plain(weekday)) return `every ${DAYS[Number(weekday)] ?? weekday} ${at}`;
    if (plain(day) && weekday === '*') return `on day ${day} of every month ${at}`;
  }
  if (daily && weekday === '*' && plain(minute) && hour === '*') return `every hour at minute ${minute} ${place}`;
  const step = /^\*\/(\d+)$/.exec(minute)?.[1];
  if (daily && weekday === '*' && hour === '*' && step !== undefined) return `every ${step} min of the hour ${place}`;
  return `cron "${cron}" ${place}`;
}
