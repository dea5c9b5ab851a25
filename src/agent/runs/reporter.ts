// Tells the controller how runs ended, until it has taken note. What ends while one report is under way, or right after
// it, goes with the next.
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { ControllerContract } from '../../protocol/contract.ts';
import type { Peer } from '../../protocol/peer.ts';
import type { Journal } from './journal.ts';
import type { Run, RunTable } from './run-table.ts';

const TIMEOUT_MS = 10_000;
/** A report is at most a megabyte, with a tail of 16 KiB each. */
const MOST = 64;
/**
 * Reports come no closer than this. The first of several goes at once, those behind it together: one transaction of the
 * controller then takes many ends, and its next choice fills many slots.
 */
const PAUSE_MS = 50;

export interface Reporter {
  /** There is something to report, or the controller is there again. */
  wake(): void;
}

/** `onAccepted` hears of each run that is forgotten. */
export function makeReporter(parts: {
  table: RunTable;
  journal: Journal;
  controller: () => Peer<ControllerContract> | undefined;
  onAccepted: (run: Run) => void;
  clock: Clock;
  log: Logger;
}): Reporter {
  const { table, journal, controller, onAccepted, clock, log } = parts;
  let running = false;

  /** False when there was nothing to do, or nobody took it. */
  async function reportSome(): Promise<boolean> {
    const peer = controller();
    const due = table
      .all()
      .filter(({ state }) => state === 'freed')
      .slice(0, MOST);
    if (due.length === 0 || peer === undefined) return false;
    const ended = due.flatMap(({ order: { id, epoch }, result }) =>
      result === undefined ? [] : { id, epoch, result },
    );
    const { accepted } = await peer.call('runs.report', { ended }, { timeoutMs: TIMEOUT_MS });
    const taken = due.filter(({ order }) => accepted.includes(order.id));
    await journal.dropped(taken.map(({ order }) => order.id));
    for (const run of taken) {
      table.remove(run);
      onAccepted(run);
    }
    return taken.length > 0;
  }

  async function reportAll(): Promise<void> {
    running = true;
    try {
      while (await reportSome()) await clock.wait(PAUSE_MS);
    } catch (thrown) {
      log.debug({ err: thrown }, 'ends could not be reported; they are sent again');
    } finally {
      running = false;
    }
  }

  return {
    wake() {
      if (!running) void reportAll();
    },
  };
}
