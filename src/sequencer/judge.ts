// What an end means: the state it gives, whether it is tried again and when, and whether the task's circuit breaker opens.
// Pure functions, apart from the SQL that carries them out (end.ts).
import type { RunResult } from '../protocol/contract.ts';
import type { SequencerSettings } from './settings.ts';

export type EndState = 'succeeded' | 'failed' | 'timed out' | 'lost' | 'cancelled';
/** As the agent reports it; `reclaimed`: nobody renewed the lease, and its grace is over. */
export type EndCause = RunResult['cause'] | 'reclaimed';

export interface EndedRun {
  attempt: number;
  cancelledBy: string | null;
  cause: EndCause;
  code: number | null;
  signal: string | null;
  timeoutS: number;
  memoryMb: number | null;
  server: string;
  /** What the agent says of an end that is not its program's doing; empty otherwise. */
  told: string;
}

export interface RetryPolicy {
  retryLimit: number;
  retryFirstS: number;
  retryMostS: number;
  whenLost: 'retry' | 'fail';
  /** Why it must not be tried again whatever the policy; null when it may. */
  barred: string | null;
}

export interface Verdict {
  state: EndState;
  /** What happened, without what follows. */
  what: string;
  /** Seconds until it is tried again. */
  retryInS: number | undefined;
  /** The whole sentence for the history. */
  why: string;
}

/** The state and its sentence. */
export function classify(run: EndedRun): { state: EndState; what: string } {
  if (run.cancelledBy !== null && run.cause !== 'exit')
    return { state: 'cancelled', what: `cancelled by ${run.cancelledBy}` };
  switch (run.cause) {
    case 'exit':
      if (run.code === 0) return { state: 'succeeded', what: 'ended with exit code 0' };
      return {
        state: 'failed',
        what: run.code === null ? `ended by ${run.signal ?? 'a signal'}` : `ended with exit code ${run.code}`,
      };
    case 'timeout':
      return { state: 'timed out', what: `killed after its time of ${run.timeoutS} s` };
    case 'oom':
      return {
        state: 'failed',
        what: `out of memory${run.memoryMb === null ? '' : ` (its limit is ${run.memoryMb} MB)`}`,
      };
    case 'killed':
      return {
        state: 'failed',
        what:
          run.signal === null && run.told !== '' ? run.told : `killed by ${run.signal ?? 'a signal'} from elsewhere`,
      };
    case 'could-not-start':
      return {
        state: 'failed',
        what: `could not be started on ${run.server}${run.told === '' ? '' : `: ${run.told}`}`,
      };
    case 'lease':
      return { state: 'lost', what: `killed on ${run.server}, which could not renew its lease` };
    case 'reclaimed':
      return { state: 'lost', what: `no word of it from ${run.server}, which did not renew its lease` };
  }
}

/** Seconds before the next attempt: doubling from the first, at most the most, of which the last half is by chance. */
export function backoffS(
  policy: Pick<RetryPolicy, 'retryFirstS' | 'retryMostS'>,
  attempt: number,
  random: () => number,
): number {
  const whole = Math.min(policy.retryMostS, policy.retryFirstS * 2 ** Math.min(attempt - 1, 30));
  return whole * (0.5 + random() / 2);
}

export function judge(run: EndedRun, policy: RetryPolicy, random: () => number): Verdict {
  const { state, what } = classify(run);
  const end = (after: string | undefined): Verdict => ({
    state,
    what,
    retryInS: undefined,
    why: after === undefined ? what : `${what}; ${after}`,
  });
  if (state === 'succeeded' || state === 'cancelled') return end(undefined);
  if (policy.barred !== null) return end(`not tried again: ${policy.barred}`);
  if (state === 'lost' && policy.whenLost === 'fail') return end('not tried again: the task says so of lost runs');
  if (run.attempt > policy.retryLimit)
    return end(
      policy.retryLimit === 0
        ? undefined
        : `not tried again: it was attempt ${run.attempt} of ${policy.retryLimit + 1}`,
    );
  // A lost run was no fault of its task: it has waited for lease and grace already.
  if (state === 'lost') return { state, what, retryInS: 0, why: `${what}; tried again at once` };
  const retryInS = backoffS(policy, run.attempt, random);
  return { state, what, retryInS, why: `${what}; tried again in ${retryInS.toFixed(retryInS < 10 ? 1 : 0)} s` };
}

/** For how long the breaker opens after so many failures in a row; undefined while it stays closed. */
export function breakS(failures: number, trips: number, settings: SequencerSettings): number | undefined {
  // Once it has opened, one failed trial opens it again.
  if (trips === 0 && failures < settings.breakerAfter) return undefined;
  return Math.min(settings.breakerMostS, settings.breakerFirstS * 2 ** Math.min(trips, 30));
}
