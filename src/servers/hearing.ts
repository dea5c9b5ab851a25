// How far the controller is behind with what agents tell it. A heartbeat that waits here for its turn is the controller's slowness
// and no server's silence; who judges silence asks here first. Kept in memory alone, as what witnesses tell.
import type { Clock } from '../lib/clock.ts';

/** Ten heartbeats may be missed; so much of that may be our own doing without anybody being told. */
const SLACK_MS = 2_000;
/** The worst of so long ago, or up to twice as long, still counts: whoever was silent then is judged now. */
const LATELY_MS = 10_000;
/** One heartbeat that never gets its answer must not keep all silence from being judged. */
const MOST_MS = 20_000;

export interface Hearing {
  /** Answers a heartbeat. Its agent sends the next one when this one is answered. */
  answer<T>(work: () => Promise<T>): Promise<T>;
  /** Looks at all servers, which happens every `everyMs`: if not, this process had no turn, and has read nothing meanwhile. */
  look<T>(everyMs: number, work: () => Promise<T>): Promise<T>;
  /** How long what agents tell has waited here, at worst of late, 20 s at most; 0 while that is as little as always. */
  behindMs(): number;
}

export function makeHearing(clock: Clock): Hearing {
  /** When each heartbeat came that is not answered, the oldest first. */
  const open = new Set<{ cameMs: number }>();
  let [before, now] = [0, 0];
  let turnMs = clock.monotonicMs();
  let lookedMs: number | undefined;

  function turn(): void {
    const ageMs = clock.monotonicMs() - turnMs;
    if (ageMs < LATELY_MS) return;
    before = ageMs < 2 * LATELY_MS ? now : 0;
    now = 0;
    turnMs = clock.monotonicMs();
  }
  function note(waitedMs: number): void {
    turn();
    now = Math.max(now, waitedMs);
  }

  return {
    async answer(work) {
      const one = { cameMs: clock.monotonicMs() };
      open.add(one);
      try {
        return await work();
      } finally {
        open.delete(one);
        note(clock.monotonicMs() - one.cameMs);
      }
    },
    async look(everyMs, work) {
      if (lookedMs !== undefined) note(clock.monotonicMs() - lookedMs - everyMs);
      try {
        return await work();
      } finally {
        lookedMs = clock.monotonicMs();
      }
    },
    behindMs() {
      turn();
      const [oldest] = open;
      const worstMs = Math.max(before, now, oldest === undefined ? 0 : clock.monotonicMs() - oldest.cameMs);
      return worstMs > SLACK_MS ? Math.min(worstMs, MOST_MS) : 0;
    },
  };
}
