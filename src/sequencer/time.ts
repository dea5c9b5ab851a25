// What time it is for the sequencer's SQL: the database's own clock in earnest, a parameter in tests. Apart because every
// statement of the hot paths begins with it.
import type { Clock } from '../lib/clock.ts';
import type { Sql } from '../platform/store.ts';

/** The first parameter of every statement that needs the time: null for the database's own clock. */
export interface TimeSource {
  at(): Date | null;
}

/** Clocks of controllers and servers decide nothing. */
export function makeDatabaseTime(): TimeSource {
  return { at: () => null };
}

/** A test's clock drives the very same SQL. */
export function makeClockTime(clock: Clock): TimeSource {
  return { at: () => new Date(clock.nowMs()) };
}

/** The time, as early as it can be: when the transaction began. For conditions, and so that indexes serve. */
export const NOW = 'coalesce($1::timestamptz, now())';
/** The time, as late as it can be: a lease that is given or renewed ends at the database no earlier than at the agent. */
export const LATE = 'coalesce($1::timestamptz, clock_timestamp())';

/** The time as the sequencer's SQL sees it. */
export async function readTime(sql: Sql, time: TimeSource): Promise<Date> {
  const [row] = await sql.query<{ now: string }>(`SELECT ${NOW} AS now`, [time.at()]);
  return new Date(row?.now ?? Number.NaN);
}
