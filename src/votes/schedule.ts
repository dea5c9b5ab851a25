// The bounds of a pool at a moment: the policy's own, or those of the window of the week that it falls into. Pure; apart
// because the calendar is the only part of a decision that knows time zones.
import { type Policy, type ScheduleWindow, WEEKDAYS } from './policy.ts';

export interface Bounds {
  min: number;
  max: number;
  /** Where they come from, when not from the policy itself. */
  window: string | undefined;
}

/** Minutes since Monday 00:00 in the zone. */
export function toMinuteOfWeek(nowMs: number, zone: string): number {
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(nowMs);
  const read = (type: string): string => parts.find((part) => part.type === type)?.value ?? '';
  const day = WEEKDAYS.indexOf(read('weekday').toLowerCase().slice(0, 3) as (typeof WEEKDAYS)[number]);
  return day * MINUTES_A_DAY + Number(read('hour')) * 60 + Number(read('minute'));
}

const MINUTES_A_DAY = 1_440;
const MINUTES_A_WEEK = 7 * MINUTES_A_DAY;

function toMinutes(text: string): number {
  const [hour = 0, minute = 0] = text.split(':').map(Number);
  return hour * 60 + minute;
}

function covers(window: ScheduleWindow, minute: number): boolean {
  const from = toMinutes(window.from);
  const length = (toMinutes(window.to) - from + MINUTES_A_DAY) % MINUTES_A_DAY || MINUTES_A_DAY;
  return window.days.some((day) => {
    const begin = WEEKDAYS.indexOf(day) * MINUTES_A_DAY + from;
    return (minute - begin + MINUTES_A_WEEK) % MINUTES_A_WEEK < length;
  });
}

/** The first window that covers the moment decides. */
export function boundsAt(policy: Policy, nowMs: number): Bounds {
  if (policy.schedule.length === 0) return { min: policy.min, max: policy.max, window: undefined };
  const minute = toMinuteOfWeek(nowMs, policy.zone);
  const window = policy.schedule.find((one) => covers(one, minute));
  if (window === undefined) return { min: policy.min, max: policy.max, window: undefined };
  return {
    min: window.min ?? policy.min,
    max: window.max ?? policy.max,
    window: `${window.days.join(',')} ${window.from}-${window.to}`,
  };
}
