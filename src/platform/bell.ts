// A bell: those who wait hear that something may have changed, or go on after a while. Apart because events, operations
// and loops all wait this way: woken early when the change is made here, by the clock when it is made elsewhere.
import type { Clock } from '../lib/clock.ts';

export interface Bell {
  /** How often it has rung; read it before looking, and give it to `wait`, so that no ring is missed in between. */
  readonly rings: number;
  ring(): void;
  /** Resolves when it has rung after `since`, or after `timeoutMs`; rejects with the signal's reason. */
  wait(since: number, timeoutMs: number, signal?: AbortSignal): Promise<void>;
}

export function makeBell(clock: Clock): Bell {
  const waiting = new Set<() => void>();
  let rings = 0;
  return {
    get rings() {
      return rings;
    },
    ring() {
      rings += 1;
      for (const wake of waiting) wake();
      waiting.clear();
    },
    async wait(since, timeoutMs, signal) {
      signal?.throwIfAborted();
      if (rings !== since) return;
      const timer = new AbortController();
      const wake = () => timer.abort();
      waiting.add(wake);
      signal?.addEventListener('abort', wake, { once: true });
      try {
        await clock.wait(timeoutMs, timer.signal);
      } catch {
        // Woken: by the ring, or by the signal, which the next line tells apart.
        signal?.throwIfAborted();
      } finally {
        waiting.delete(wake);
        signal?.removeEventListener('abort', wake);
      }
    },
  };
}
