// A clock that stands still until a test moves it. Apart from the tests because loops, events and operations share it.
import type { Clock } from '../lib/clock.ts';

export interface TestClock extends Clock {
  /** Moves the time on and wakes whoever waited for it, in the order of their times. */
  advance(durationMs: number): Promise<void>;
  /** How many waits are under way. */
  readonly waits: number;
  /** Resolves when at least `count` waits are under way. */
  waited(count: number): Promise<void>;
}

/** Begins at 2026-01-01T00:00:00Z. */
export function makeTestClock(): TestClock {
  const startMs = Date.UTC(2026, 0, 1);
  const waiting = new Set<{ atMs: number; wake: () => void }>();
  const watchers = new Set<{ count: number; tell: () => void }>();
  let nowMs = 0;
  return {
    nowMs: () => startMs + nowMs,
    monotonicMs: () => nowMs,
    get waits() {
      return waiting.size;
    },
    wait: (durationMs, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason as Error);
          return;
        }
        const entry = { atMs: nowMs + durationMs, wake: resolve };
        waiting.add(entry);
        signal?.addEventListener('abort', () => waiting.delete(entry) && reject(signal.reason as Error), {
          once: true,
        });
        for (const watcher of watchers) {
          if (waiting.size < watcher.count) continue;
          watchers.delete(watcher);
          watcher.tell();
        }
      }),
    async advance(durationMs) {
      const untilMs = nowMs + durationMs;
      for (;;) {
        const [next] = [...waiting].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
        if (next === undefined) break;
        nowMs = next.atMs;
        waiting.delete(next);
        next.wake();
        // Lets what was woken run to its next wait.
        await new Promise((resolve) => setImmediate(resolve));
      }
      nowMs = untilMs;
    },
    waited: (count) =>
      new Promise((resolve) => {
        if (waiting.size >= count) resolve();
        else watchers.add({ count, tell: resolve });
      }),
  };
}
