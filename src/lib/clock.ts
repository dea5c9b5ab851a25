// The clock that everything takes as a parameter, so that tests decide what time it is.
// Apart from the log and the store, because it imports nothing and everything may import it.

/**
 * A source of time. `nowMs` is wall time (Unix epoch, milliseconds). `monotonicMs` never jumps: the kernel's
 * CLOCK_MONOTONIC, the same in all threads, processes and containers of a machine.
 */
export interface Clock {
  nowMs(): number;
  monotonicMs(): number;
  /** Resolves after `durationMs`, or rejects with the signal's reason as soon as it aborts. */
  wait(durationMs: number, signal?: AbortSignal): Promise<void>;
}

/** The machine's own clock. */
export function makeSystemClock(): Clock {
  return {
    nowMs: () => Date.now(),
    monotonicMs: () => Number(process.hrtime.bigint()) / 1e6,
    wait: (durationMs, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason as Error);
          return;
        }
        const onAbort = () => {
          clearTimeout(timer);
          reject(signal?.reason as Error);
        };
        const timer = setTimeout(() => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        }, durationMs);
        signal?.addEventListener('abort', onAbort, { once: true });
      }),
  };
}
