// What is done when a run has ended: its result is read and written down, its unit let go of, and what it left running is
// killed with it. Only then may it be reported: the controller starts the next run of its key. Apart from how runs begin.
import type { Fleet } from '../../engines/fleet.ts';
import { hasEnded, type ServiceFacts } from '../../engines/systemd/units.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { RunResult } from '../../protocol/contract.ts';
import type { Journal } from './journal.ts';
import { LEASE_TIMERS } from './lease-switch.ts';
import type { NodeLink } from './node-link.ts';
import type { NodeLinks } from './node-links.ts';
import { type EndedRun, toRunResult } from './run-result.ts';
import type { Run, RunTable } from './run-table.ts';
import { LEASE_TARGET, RUN_PATTERN, toOutputName } from './run-unit.ts';

const TAIL_BYTES = 16 * 1024;
/** What a run left behind is killed at once; a process that does not die of that hangs in the kernel. */
const FREED_TIMEOUT_MS = 10_000;
/** A node's switch has killed all its runs within this, however busy the machine is. */
const SWITCH_TAKES_MS = 1_000;
/** systemd and this program read the same clock, not in the same moment. */
const CLOCK_SLACK_MS = 50;
const SIGKILL = 9;
const NOT_COUNTED = { cpuS: null, peakMemoryBytes: null };

export interface RunEnds {
  /**
   * Brings an ended run to `freed`. Without `facts` its unit is gone; `why`: it never was there. What fails is tried again
   * with the next look at its node.
   */
  end(run: Run, facts: ServiceFacts | undefined, why?: string): void;
  /** A unit is no longer loaded. */
  gone(node: string, unit: string): void;
  /** Compares what a node's systemd has with the table: finds ends that nobody heard, kills what nobody knows. */
  sync(node: string): Promise<void>;
  /** True when something of the node should be looked at soon. */
  isOwed(node: string): boolean;
}

/** `onFreed` hears of each run that may be reported. */
export function makeRunEnds(parts: {
  table: RunTable;
  links: NodeLinks;
  journal: Journal;
  fleet: Fleet;
  countsOom: boolean;
  clock: Clock;
  log: Logger;
  onFreed: (run: Run) => void;
}): RunEnds {
  const { table, links, journal, fleet, countsOom, clock, log, onFreed } = parts;
  const waiting = new Map<Run, () => void>();
  const owed = new Set<string>();

  function toResult(run: Run, about: Omit<EndedRun, 'killed' | 'timeoutS' | 'countsOom' | 'nowMs'>): RunResult {
    const { timeoutS } = run.order;
    return toRunResult({ ...about, timeoutS, killed: run.killed?.reason, countsOom, nowMs: clock.nowMs() });
  }

  async function writeDown(run: Run, result: RunResult): Promise<void> {
    run.result = result;
    await journal.ended(run.order.id, result);
    run.state = 'ended';
  }

  function setFreed(run: Run): void {
    run.state = 'freed';
    onFreed(run);
  }

  /**
   * Whether its lease was over when it ended. The node's switch goes off somewhat before the deadline that is known here,
   * and an agent that was started anew knows none: the switch has gone off when none of its timers waits any more, or,
   * once it is set anew, when what it ends had been inactive.
   */
  async function readLeaseOver(run: Run, facts: ServiceFacts | undefined, { units }: NodeLink): Promise<boolean> {
    if (facts !== undefined && facts.mainStatus !== SIGKILL) return false;
    const endedMs = facts === undefined ? clock.monotonicMs() : facts.exitedMonotonicUs / 1000;
    if (run.deadlineMs !== undefined && endedMs >= run.deadlineMs - CLOCK_SLACK_MS) return true;
    if ((await units.list(LEASE_TIMERS, 'waiting')).length === 0) return true;
    const inactiveMs = await units.readInactiveSinceMs(LEASE_TARGET);
    return inactiveMs !== undefined && inactiveMs >= run.beganMs && endedMs >= inactiveMs - SWITCH_TAKES_MS;
  }

  async function conclude(run: Run, facts: ServiceFacts | undefined, why: string | undefined): Promise<void> {
    const link = await links.to(run.order.node);
    if (run.beganMs < link.startMs) {
      const nothing = { facts: undefined, usage: NOT_COUNTED, isLeaseOver: false };
      return await writeDown(run, toResult(run, { ...nothing, tail: 'its node was started anew\n' }));
    }
    const [usage, tail, isLeaseOver] = await Promise.all([
      countsOom && facts !== undefined ? link.units.readUsage(run.unit) : NOT_COUNTED,
      link.outputs.readTail(toOutputName(run.order), TAIL_BYTES).catch(() => ''),
      readLeaseOver(run, facts, link),
    ]);
    const result = toResult(run, { facts, usage, tail, isLeaseOver });
    await writeDown(run, why === undefined ? result : { ...result, cause: 'could-not-start', tail: why });
  }

  async function free(run: Run, subState: string | undefined): Promise<void> {
    const { units } = await links.to(run.order.node);
    const gone = Promise.withResolvers<boolean>();
    waiting.set(run, () => gone.resolve(true));
    const bound = new AbortController();
    try {
      const wasLoaded = subState === 'failed' ? await units.resetFailed(run.unit) : await units.stop(run.unit);
      if (!wasLoaded) return;
      const late = clock.wait(FREED_TIMEOUT_MS, bound.signal).then(
        () => false,
        () => false,
      );
      if (!(await Promise.race([gone.promise, late]))) throw new Error(`the unit ${run.unit} does not go away`);
    } finally {
      bound.abort();
      waiting.delete(run);
    }
  }

  async function settle(run: Run, facts: ServiceFacts | undefined, why: string | undefined): Promise<void> {
    try {
      if (run.state !== 'ended') await conclude(run, facts, why);
      if (why === undefined) await free(run, facts?.subState);
      setFreed(run);
    } catch (thrown) {
      log.warn({ err: thrown, run: run.order.id }, 'the end of a run could not be taken down; it is tried again');
      owed.add(run.order.node);
    } finally {
      run.ending = undefined;
    }
  }

  function end(run: Run, facts: ServiceFacts | undefined, why?: string): void {
    if (run.state === 'freed') return;
    run.ending ??= settle(run, facts, why);
  }

  async function compare(node: string): Promise<void> {
    const { units } = await links.to(node);
    // Only those that systemd had taken before it was asked: others may be missing in its answer.
    const known = table.of(node).filter(({ state }) => state === 'alive' || state === 'ended');
    const loaded = new Set(await units.list(RUN_PATTERN));
    for (const run of known) {
      const facts = loaded.has(run.unit) ? await units.read(run.unit) : undefined;
      if (run.state === 'ended' || facts === undefined || hasEnded(facts)) end(run, facts);
    }
    for (const unit of loaded) {
      if (table.byUnit(node, unit) !== undefined) continue;
      log.warn({ node, unit }, 'a run that nobody knows is killed');
      await units.kill(unit, SIGKILL);
      await Promise.all([units.stop(unit), units.resetFailed(unit)]);
    }
  }

  /** A node that cannot be reached is tried again; one that is stopped or gone has taken its runs with it. */
  async function buryIfGone(node: string): Promise<boolean> {
    const found = await fleet.instances.read(node);
    if (found !== undefined && found.status !== 'stopped') return false;
    for (const run of table.of(node)) {
      if (run.state === 'alive') {
        const tail = 'its node was stopped\n';
        await writeDown(run, toResult(run, { facts: undefined, usage: NOT_COUNTED, isLeaseOver: false, tail }));
      }
      if (run.state === 'ended') setFreed(run);
    }
    return true;
  }

  return {
    end,
    gone(node, unit) {
      const run = table.byUnit(node, unit);
      if (run === undefined) return;
      waiting.get(run)?.();
      // Unless we let go of it, it vanished by itself, or systemd reloads its configuration.
      if (run.state === 'alive' && run.ending === undefined) owed.add(node);
    },
    async sync(node) {
      owed.delete(node);
      try {
        await compare(node);
      } catch (thrown) {
        log.debug({ node, err: thrown }, 'a node with runs could not be looked at');
        if (!(await buryIfGone(node).catch(() => false))) owed.add(node);
      }
    },
    isOwed: (node) => owed.has(node),
  };
}
