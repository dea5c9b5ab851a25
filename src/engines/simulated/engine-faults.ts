// The faults that a simulated database or cache server can be told to have. Apart so that both twins fail alike.
import type { Clock } from '../../lib/clock.ts';

/** What a test or a simulated deployment may do to a twin. `M` are the names of its calls. */
export interface EngineFaults<M extends string> {
  /** The next `times` calls of this name throw `error`, before or after having done their work. Default: once, before. */
  failNext(call: M, error: Error, options?: { times?: number; after?: boolean }): void;
  /** Every later call takes this long first; 0 ends it. */
  setDelay(delayMs: number): void;
  /** Every later call throws what this makes, as a server that is away; undefined brings the server back. */
  setAway(makeError: (() => Error) | undefined): void;
  /** How often each call was begun. */
  calls(call: M): number;
}

/** Passes one call of a twin through its faults. */
export type RunWithFaults<M extends string> = <T>(
  call: M,
  signal: AbortSignal | undefined,
  work: () => T,
) => Promise<T>;

export function makeEngineFaults<M extends string>(clock: Clock): { faults: EngineFaults<M>; run: RunWithFaults<M> } {
  const planned = new Map<M, { error: Error; times: number; after: boolean }>();
  const begun = new Map<M, number>();
  let delayMs = 0;
  let makeAway: (() => Error) | undefined;

  return {
    faults: {
      failNext: (call, error, options = {}) => {
        planned.set(call, { error, times: options.times ?? 1, after: options.after ?? false });
      },
      setDelay: (ms) => {
        delayMs = ms;
      },
      setAway: (makeError) => {
        makeAway = makeError;
      },
      calls: (call) => begun.get(call) ?? 0,
    },
    async run(call, signal, work) {
      begun.set(call, (begun.get(call) ?? 0) + 1);
      signal?.throwIfAborted();
      if (delayMs > 0) await clock.wait(delayMs, signal);
      if (makeAway !== undefined) throw makeAway();
      const plan = planned.get(call);
      if (plan === undefined) return work();
      plan.times -= 1;
      if (plan.times <= 0) planned.delete(call);
      if (plan.after) work();
      throw plan.error;
    },
  };
}
