// Which controller of a database leads: one row that the leader renews, by the database's clock. Only the leader hears
// agents, runs loops and drives operations. Apart from all that, which only hears that a term has begun or ended.
//
// The states of a controller: standing by (looks whether the term of another has ended), leading (renews), giving up (its
// term was lost, it stops, or hands over: what it leads ends), and standing by again. The leader gives up by its own
// monotonic clock before the database lets another lead, so no two clocks are compared. Decided in
// docs/decisions/0070-one-controller-leads.md.
import type { Clock } from '../lib/clock.ts';
import { toProblem } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { Sql } from './store.ts';

export interface LeadershipTimes {
  /** How long a term holds without being renewed. Agents give up runs 8 s after their last heartbeat was answered: sooner. */
  leaseMs: number;
  /** The leader gives up so long after the last renewal that succeeded. */
  giveUpMs: number;
  /** How often it renews, and looks whether it must give up. */
  renewMs: number;
  /** How often others look. */
  lookMs: number;
  /** A term that failed by itself is not begun anew at once: another may fare better. */
  failedPauseMs: number;
}

export const DEFAULT_TIMES: LeadershipTimes = {
  leaseMs: 5_000,
  giveUpMs: 4_000,
  renewMs: 500,
  lookMs: 250,
  failedPauseMs: 3_000,
};

/** One time of leading. */
export interface Term {
  readonly number: number;
  /** Aborts when it ends: the controller stops, or the term is lost. */
  readonly ends: AbortSignal;
  /** Another may lead now: nothing more may be written. */
  isLost(): boolean;
}

export interface Leader {
  id: string;
  term: number;
  /** In milliseconds by the database's clock. */
  sinceMs: number;
}

export interface LeadershipOptions {
  /** A store of its own: what fills the sessions of the other must not hold up the renewals. */
  sql: Sql;
  clock: Clock;
  log: Logger;
  /** Of this controller's data directory, which is locked to one process. */
  id: string;
  times?: Partial<LeadershipTimes>;
  /** For tests: what the database takes for the time. */
  at?: () => Date | null;
}

export interface Leadership {
  /** Until the signal aborts: waits for its turn, and calls `lead` for each term; the term is over for others when that has ended. */
  run(lead: (term: Term) => Promise<void>, signal: AbortSignal): Promise<void>;
}

const NOW = 'coalesce($1::timestamptz, clock_timestamp())';
const LEASE = (parameter: string) => `${NOW} + ${parameter} * interval '1 millisecond'`;

/** Who leads now; undefined between two terms. */
export async function readLeader(sql: Sql, at: Date | null = null): Promise<Leader | undefined> {
  const [row] = await sql.query<Leader>(
    `SELECT holder AS id, term, extract(epoch FROM ${NOW} - since)::float8 * 1000 AS "sinceMs"
     FROM controller_lease WHERE holder IS NOT NULL AND until > ${NOW}`,
    [at],
  );
  return row;
}

/** Has the leader end its term for this controller, which alone may take the next one within that time; then any may. */
export async function handOver(sql: Sql, heir: string, withinMs: number, at: Date | null = null): Promise<void> {
  await sql.query(`UPDATE controller_lease SET heir = $2, heir_until = ${LEASE('$3')}`, [at, heir, withinMs]);
}

/** Makes the leadership of one controller. */
export function makeLeadership(options: LeadershipOptions): Leadership {
  const { sql, clock, log, id } = options;
  const { leaseMs, giveUpMs, renewMs, lookMs, failedPauseMs } = { ...DEFAULT_TIMES, ...options.times };
  const at = options.at ?? (() => null);

  /** From its first term on, this process knows which terms it has: one under its id is another process's then. */
  let isFresh = true;

  /** The number of the new term, if the one before is over; under its own id that is so for a process that has just begun. */
  async function take(): Promise<number | undefined> {
    const [taken] = await sql.query<{ term: number }>(
      `UPDATE controller_lease SET holder = $2, term = term + 1, until = ${LEASE('$3')}, since = ${NOW}, heir = NULL
       WHERE (holder IS NULL OR (holder = $2 AND $4) OR until <= ${NOW})
         AND (heir IS NULL OR heir = $2 OR heir_until <= ${NOW}) RETURNING term`,
      [at(), id, leaseMs, isFresh],
    );
    if (taken !== undefined) isFresh = false;
    return taken?.term;
  }

  /** Undefined when the term is another's; else whether it is to be handed over. */
  async function renew(term: number): Promise<{ hasHeir: boolean } | undefined> {
    const [renewed] = await sql.query<{ hasHeir: boolean }>(
      `UPDATE controller_lease SET until = ${LEASE('$4')} WHERE holder = $2 AND term = $3
       RETURNING coalesce(heir <> $2 AND heir_until > ${NOW}, false) AS "hasHeir"`,
      [at(), id, term, leaseMs],
    );
    return renewed;
  }

  async function release(term: number): Promise<void> {
    await sql.query('UPDATE controller_lease SET holder = NULL, until = NULL WHERE holder = $1 AND term = $2', [
      id,
      term,
    ]);
  }

  /** Renews until `over` aborts; calls `lose` once when another may lead, and `giveWay` while another shall. */
  async function keep(
    { term, takenMs }: { term: number; takenMs: number },
    { lose, giveWay }: { lose(why: string): void; giveWay(): void },
    over: AbortSignal,
  ): Promise<void> {
    let untilMs = takenMs + giveUpMs;
    let isAsking = false;
    for (;;) {
      await clock.wait(renewMs, over).catch(() => undefined);
      if (over.aborted) return;
      if (clock.monotonicMs() >= untilMs) return lose('the database did not confirm it in time');
      if (isAsking) continue;
      isAsking = true;
      const askedMs = clock.monotonicMs();
      // Not awaited: a question that hangs must not keep the next look from noticing that time runs out.
      void renew(term)
        .then((held) => {
          if (held !== undefined) untilMs = Math.max(untilMs, askedMs + giveUpMs);
          else if (!over.aborted) lose('another controller leads');
          if (held?.hasHeir === true) giveWay();
        })
        .catch((thrown: unknown) => log.warn({ problem: toProblem(thrown).document }, 'cannot renew the leadership'))
        .finally(() => {
          isAsking = false;
        });
    }
  }

  async function serve(
    term: number,
    takenMs: number,
    lead: (term: Term) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const ends = new AbortController();
    const over = new AbortController();
    let lost = false;
    const stop = () => ends.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    const lose = (why: string) => {
      if (lost) return;
      lost = true;
      log.warn({ term, why }, 'this controller leads no longer');
      ends.abort(new Error(why));
    };
    // In order, as when it stops: the term is its own until all that it led has ended.
    const giveWay = () => {
      if (ends.signal.aborted) return;
      log.info({ term }, 'this controller hands over');
      ends.abort(new Error('it hands over'));
    };
    const keeping = keep({ term, takenMs }, { lose, giveWay }, over.signal);
    try {
      await lead({ number: term, ends: ends.signal, isLost: () => lost });
    } catch (thrown) {
      log.error({ err: thrown, term }, 'leading failed; another controller may do better');
      await release(term).catch(() => undefined);
      over.abort();
      await clock.wait(failedPauseMs, signal).catch(() => undefined);
    } finally {
      over.abort();
      await keeping;
      signal.removeEventListener('abort', stop);
      // So that another need not wait for its end.
      if (!lost) await release(term).catch(() => undefined);
    }
  }

  return {
    async run(lead, signal) {
      while (!signal.aborted) {
        const askedMs = clock.monotonicMs();
        const term = await take().catch((thrown: unknown) => {
          log.debug({ err: thrown }, 'cannot ask for the leadership');
          return undefined;
        });
        // A question that took as long as the lease may have brought a term that is over already.
        if (term !== undefined && clock.monotonicMs() - askedMs < giveUpMs) await serve(term, askedMs, lead, signal);
        else await clock.wait(lookMs, signal).catch(() => undefined);
      }
    },
  };
}
