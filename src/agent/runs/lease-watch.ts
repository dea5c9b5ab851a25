// Which runs' leases end when, and their killing at that moment. Knows neither threads nor control groups, so that tests
// give it a clock and count the kills; watcher.ts runs it in a thread of its own.
import type { Clock } from '../../lib/clock.ts';

export interface WatchedLease {
  id: number;
  /** By the machine's monotonic clock, milliseconds. */
  deadlineMs: number;
  /** The run's control group: its folder on this machine. */
  cgroup: string;
}

export interface LeaseWatch {
  /** Begins to watch, or sets another deadline. */
  set(lease: WatchedLease): void;
  drop(id: number): void;
  /** Kills what is over; gives the milliseconds until the next look, or undefined when there is nothing to watch. */
  check(): number | undefined;
}

/** What was killed is killed again this often until it is dropped: its start may have been under way. */
const AGAIN_MS = 100;

/** Makes the watch. `kill` must not fail for a group that is not there; `onKilled` hears of each lease once. */
export function makeLeaseWatch(parts: {
  clock: Clock;
  kill: (cgroup: string) => void;
  onKilled: (id: number) => void;
}): LeaseWatch {
  const { clock, kill, onKilled } = parts;
  const leases = new Map<number, WatchedLease>();
  const over = new Set<number>();
  return {
    set(lease) {
      leases.set(lease.id, lease);
      over.delete(lease.id);
    },
    drop(id) {
      leases.delete(id);
      over.delete(id);
    },
    check() {
      const nowMs = clock.monotonicMs();
      let nextMs: number | undefined;
      for (const { id, deadlineMs, cgroup } of leases.values()) {
        const isOver = deadlineMs <= nowMs;
        if (isOver) {
          kill(cgroup);
          if (!over.has(id)) onKilled(id);
          over.add(id);
        }
        const waitMs = isOver ? AGAIN_MS : deadlineMs - nowMs;
        nextMs = Math.min(nextMs ?? waitMs, waitMs);
      }
      return nextMs;
    },
  };
}
