// Runs a piece of work within bounds: its time limit, a cancellation, the end of the controller. Apart from the state
// machine because this is the only place where a step can hang.
import type { Clock } from '../../lib/clock.ts';

/** Why the signal aborted. */
export type StopCause = 'timed-out' | 'cancelled' | 'abandoned';

/** `stuck`: the work ignored its signal and may still be running. */
export type Outcome<T> =
  | { kind: 'ended'; value: T }
  | { kind: 'failed'; error: unknown }
  | { kind: 'stopped'; cause: StopCause; error: unknown; stuck: boolean };

export interface Bounds {
  clock: Clock;
  timeoutMs: number;
  /** How long work may take to end after its signal aborted. */
  graceMs: number;
  /** Absent where a cancellation changes nothing, as in an undo. */
  cancel?: AbortSignal;
  abandon: AbortSignal;
}

/** Resolves within `timeoutMs + graceMs`, whatever `work` does. Work that ends well although its signal aborted has ended. */
export async function runAttempt<T>(work: (signal: AbortSignal) => Promise<T>, bounds: Bounds): Promise<Outcome<T>> {
  const { clock } = bounds;
  const abort = new AbortController();
  const over = new AbortController();
  let cause: StopCause | undefined;
  const stopped = new Promise<void>((resolve) => {
    const stopFor = (why: StopCause) => () => {
      cause ??= why;
      abort.abort(new Error(`the step was ${why}`));
      resolve();
    };
    const listen = (signal: AbortSignal | undefined, stop: () => void) => {
      if (signal?.aborted) stop();
      else signal?.addEventListener('abort', stop, { once: true, signal: over.signal });
    };
    listen(bounds.abandon, stopFor('abandoned'));
    listen(bounds.cancel, stopFor('cancelled'));
    clock.wait(bounds.timeoutMs, over.signal).then(stopFor('timed-out'), () => {});
  });
  const settled: Promise<Outcome<T>> = (async () => work(abort.signal))().then(
    (value) => ({ kind: 'ended', value }),
    (error: unknown) => ({ kind: 'failed', error }),
  );
  try {
    const first = await Promise.race([settled, stopped]);
    const outcome = first ?? (await Promise.race([settled, clock.wait(bounds.graceMs, over.signal)]));
    if (outcome?.kind === 'ended' || cause === undefined) return outcome ?? { kind: 'failed', error: undefined };
    const error = outcome?.kind === 'failed' ? outcome.error : undefined;
    return { kind: 'stopped', cause, error, stuck: outcome === undefined };
  } finally {
    over.abort();
  }
}
