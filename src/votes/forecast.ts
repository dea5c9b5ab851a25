// Growth ahead of need: what the same hour of the same weekday needed a week ago, where the week is regular. Pure. Off unless
// a policy switches it on; shown beside the votes in any case, so that people can judge it first.

const HOUR_MS = 3_600_000;
const WEEK_MS = 7 * 24 * HOUR_MS;
/** Nodes are asked for so long before their hour. */
const LEAD_MS = 600_000;
/** Of the last day's hours and the same ones a week before, at least so many must be known … */
const KNOWN_HOURS = 20;
/** … and so large a share must agree to within a node or a quarter. */
const REGULAR_SHARE = 0.8;

/** `hours`: what each hour (its begin, ms) needed. Undefined when the week is not known or not regular. */
export function foretell(hours: ReadonlyMap<number, number>, nowMs: number): number | undefined {
  const current = Math.floor(nowMs / HOUR_MS) * HOUR_MS;
  const pairs = Array.from({ length: 24 }, (_, index) => current - (index + 1) * HOUR_MS).flatMap((hour) => {
    const [now, before] = [hours.get(hour), hours.get(hour - WEEK_MS)];
    return now === undefined || before === undefined ? [] : [{ now, before }];
  });
  if (pairs.length < KNOWN_HOURS) return undefined;
  const alike = pairs.filter(({ now, before }) => Math.abs(now - before) <= Math.max(1, before / 4));
  if (alike.length < REGULAR_SHARE * pairs.length) return undefined;
  return hours.get(Math.floor((nowMs + LEAD_MS) / HOUR_MS) * HOUR_MS - WEEK_MS);
}
