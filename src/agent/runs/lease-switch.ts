// The dead man's switch of one node: a timer in its own systemd that kills all its runs unless the agent sets it anew. So a
// run's end needs nobody outside the node to be alive, thawed or connected, and systemd cannot die without the node's
// processes dying with it (docs/decisions/0022-who-kills-when-the-agent-cannot.md). Apart from the runs' own deadlines:
// the node has one, the earliest of theirs.
import type { Units } from '../../engines/systemd/units.ts';
import type { Clock } from '../../lib/clock.ts';
import { LEASE_TARGET } from './run-unit.ts';

export interface LeaseSwitch {
  /**
   * Sees to it that the node's runs are killed at `deadlineMs` (monotonic clock of the machine) or somewhat before, and that
   * until then runs may live. Resolves when systemd has taken that.
   */
  hold(deadlineMs: number): Promise<void>;
}

export const LEASE_TIMERS = 'espalier-lease@*.timer';
/** It is set anew when that gives at least so much: every other heartbeat. An agent that restarts has the rest. */
const STEP_MS = 1_500;
/** A switch that goes off this soon may have gone off before we are heard: it is set from the beginning. */
const SOON_MS = 1_000;

/** The timer that goes off at a moment of the monotonic clock, in a systemd that began at `startMs`. */
export function toLeaseTimer(deadlineMs: number, startMs: number): string {
  return `espalier-lease@${Math.max(0, Math.floor(deadlineMs - startMs))}ms.timer`;
}

/** Makes the switch of a node, whose systemd began at `startMs`. Timers of an earlier agent count until the first hold. */
export function makeLeaseSwitch(parts: {
  units: Pick<Units, 'start' | 'stop' | 'list'>;
  startMs: number;
  clock: Clock;
}): LeaseSwitch {
  const { units, startMs, clock } = parts;
  let held: { timer: string; deadlineMs: number } | undefined;
  let last: Promise<void> = Promise.resolve();

  async function set(deadlineMs: number): Promise<void> {
    const inForceMs =
      held === undefined || held.deadlineMs < clock.monotonicMs() + SOON_MS ? undefined : held.deadlineMs;
    if (inForceMs !== undefined && inForceMs <= deadlineMs && deadlineMs < inForceMs + STEP_MS) return;
    const timer = toLeaseTimer(deadlineMs, startMs);
    const old = held === undefined ? await units.list(LEASE_TIMERS) : [held.timer];
    held = undefined;
    // In this order on one connection: there is no moment without a timer, and no old one that ends the new lease.
    const orders = [units.start(timer), ...old.filter((each) => each !== timer).map((each) => units.stop(each))];
    if (inForceMs === undefined) orders.push(units.start(LEASE_TARGET));
    await Promise.all(orders);
    held = { timer, deadlineMs };
  }

  return {
    hold(deadlineMs) {
      last = last.then(
        () => set(deadlineMs),
        () => set(deadlineMs),
      );
      return last;
    },
  };
}
