// How a run ended, from what systemd says and what the agent did. Pure, and apart, so that every cause has its test.
import { constants } from 'node:os';
import type { ServiceFacts, ServiceUsage } from '../../engines/systemd/units.ts';
import type { RunResult } from '../../protocol/contract.ts';

/** Why the agent ended a run: it was asked to, its time was over, or its lease was. */
export type KillReason = 'cancelled' | 'timeout' | 'lease';

export interface EndedRun {
  /** Undefined when the unit is gone without having told: the node was stopped, or systemd killed it in time. */
  facts: ServiceFacts | undefined;
  usage: ServiceUsage;
  killed: KillReason | undefined;
  timeoutS: number;
  /** True when its lease was over as it ended: an unexplained SIGKILL was the node's switch, or the watching thread. */
  isLeaseOver: boolean;
  /** Systemd counts kills for want of memory only on cgroup v2; elsewhere an unexplained SIGKILL is taken for one. */
  countsOom: boolean;
  tail: string;
  nowMs: number;
}

/** Code of waitid(2). */
const EXITED = 1;
const MICROSECONDS = 1_000_000;

/** What systemd's own exit statuses mean for a run (systemd.exec(5), "Process Exit Codes"). */
const NOT_STARTED: Readonly<Record<number, string>> = {
  200: 'the site has no home on the node',
  203: 'there is no such program, or it cannot be executed',
  209: 'its output cannot be written',
  216: 'the node does not know the site’s group',
  217: 'the node does not know the site’s user',
  226: 'folders of the site are missing on the node',
};

function toSignalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? `signal ${number}`;
}

const toIso = (us: number): string => new Date(us / 1000).toISOString();

/** The end as it is reported. */
export function toRunResult(run: EndedRun): RunResult {
  const { facts, usage, tail, nowMs } = run;
  const shared = { ...usage, tail };
  if (facts === undefined) {
    const cause = run.killed === 'timeout' ? 'timeout' : run.killed === 'lease' || run.isLeaseOver ? 'lease' : 'killed';
    return { ...shared, cause, code: null, signal: null, startedAt: null, endedAt: new Date(nowMs).toISOString() };
  }
  const endedAt = facts.exitedAtUs > 0 ? toIso(facts.exitedAtUs) : new Date(nowMs).toISOString();
  if (!facts.wasActive) {
    const why = NOT_STARTED[facts.mainStatus] ?? 'systemd could not prepare it (is the site on this node?)';
    const told = `${why} (${facts.result}, status ${facts.mainStatus})\n`;
    return { ...shared, cause: 'could-not-start', code: null, signal: null, startedAt: null, endedAt, tail: told };
  }
  const exited = facts.mainCode === EXITED;
  return {
    ...shared,
    cause: toCause(run, facts),
    code: exited ? facts.mainStatus : null,
    signal: exited || facts.mainCode === 0 ? null : toSignalName(facts.mainStatus),
    startedAt: toIso(facts.startedAtUs),
    endedAt,
  };
}

function toCause(run: EndedRun, facts: ServiceFacts): RunResult['cause'] {
  if (facts.result === 'oom-kill') return 'oom';
  if (run.killed === 'timeout' || facts.result === 'timeout') return 'timeout';
  if (facts.mainCode === EXITED) return 'exit';
  if (run.killed !== undefined) return run.killed === 'lease' ? 'lease' : 'killed';
  const isSigkill = facts.mainStatus === constants.signals.SIGKILL;
  if (run.isLeaseOver && isSigkill) return 'lease';
  // An agent that was restarted meanwhile no longer knows that it sent the SIGTERM.
  if ((facts.exitedMonotonicUs - facts.startedMonotonicUs) / MICROSECONDS >= run.timeoutS) return 'timeout';
  return !run.countsOom && isSigkill ? 'oom' : 'killed';
}
