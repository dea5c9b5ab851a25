// A day of one pool under a scaler: nodes boot and leave in simulated time, visitors spread evenly over those that serve. The
// votes' own decisions are the ones of the product (src/votes/decide.ts), called as its loop calls them.
import { type Round, runRound } from '../../../src/votes/decide.ts';
import type { Policy } from '../../../src/votes/policy.ts';
import { DAY_STEPS, type Day, NODE_WORKERS, STEP_S } from './traffic.ts';

/** From the wish for a node until it serves. */
const BOOT_STEPS = 1;
/** A node that does not come up is given up after so long, and the pool wants what it wanted before. */
const GIVE_UP_STEPS = 60 / STEP_S;
/** What one node can have at work at most: its sites' PHP processes. */
const MOST_WORKERS = 16;

/** What a scaler is told at each step; it answers with the size that the pool is to want. */
export interface View {
  step: number;
  wanted: number;
  ready: readonly { name: string; busy: number }[];
  booting: readonly string[];
  failures: { count: number; lastStep: number } | undefined;
}
export type Scaler = (view: View) => number;

export interface Report {
  /** Sizes that were wanted, step by step. */
  wanted: number[];
  nodeSeconds: number;
  /** Seconds in which more was to do than the nodes could. */
  overS: number;
  /** Changes that the scaler made, not those that a failure took back. */
  resizes: { step: number; from: number; to: number }[];
  failed: number;
}

/** Runs the day. */
export function runDay(day: Day, scale: Scaler, start: number): Report {
  let made = 0;
  let wanted = start;
  let nodes = Array.from({ length: start }, () => ({ name: `n${made++}`, readyAt: 0, bornAt: 0, good: true }));
  let failures: View['failures'];
  const report: Report = { wanted: [], nodeSeconds: 0, overS: 0, resizes: [], failed: 0 };
  for (let step = 0; step < DAY_STEPS; step += 1) {
    const given = nodes.filter(({ good, bornAt }) => !good && step - bornAt >= GIVE_UP_STEPS);
    if (given.length > 0) {
      nodes = nodes.filter((node) => !given.includes(node));
      wanted -= given.length;
      report.failed += given.length;
      failures = { count: (failures?.count ?? 0) + given.length, lastStep: step };
    }
    const ready = nodes.filter(({ good, readyAt }) => good && readyAt <= step);
    if (ready.some(({ readyAt }) => failures !== undefined && readyAt > failures.lastStep)) failures = undefined;
    const demand = day.demand[step] ?? 0;
    const busy = Math.min(MOST_WORKERS, demand / Math.max(1, ready.length));
    const booting = nodes.filter((node) => !ready.includes(node)).map(({ name }) => name);
    const size = scale({ step, wanted, ready: ready.map(({ name }) => ({ name, busy })), booting, failures });
    if (size !== wanted) report.resizes.push({ step, from: wanted, to: size });
    for (; wanted < size; wanted += 1)
      nodes.push({ name: `n${made++}`, readyAt: step + BOOT_STEPS, bornAt: step, good: day.comesUp(step) });
    if (wanted > size) {
      nodes = nodes.slice(wanted - size);
      wanted = size;
    }
    report.wanted.push(wanted);
    report.nodeSeconds += nodes.length * STEP_S;
    if (demand > ready.length * NODE_WORKERS) report.overS += STEP_S;
  }
  return report;
}

const START_MS = Date.UTC(2026, 0, 5);

/** The product's votes as a scaler; `rounds` hears of every round. */
export function makeVotes(policy: Policy, onRound: (round: Round) => void = () => undefined): Scaler {
  let before: Round | undefined;
  let resizedAtMs: number | undefined;
  return ({ step, wanted, ready, booting, failures }) => {
    const nowMs = START_MS + step * STEP_S * 1_000;
    const round = runRound(
      policy,
      {
        ...{
          nowMs,
          pool: 'web',
          wanted,
          resizedAtMs,
          held: undefined,
          paused: undefined,
          unsettled: undefined,
          ceilings: [],
          othersGrow: [],
        },
        failures:
          failures === undefined
            ? undefined
            : {
                count: failures.count,
                lastMs: START_MS + failures.lastStep * STEP_S * 1_000,
                why: 'it does not answer',
              },
        ...{ visits: undefined, work: undefined, foretold: undefined },
        nodes: [
          ...ready.map(({ name, busy }) => ({
            name,
            state: 'ready' as const,
            sample: { takenAtMs: nowMs, values: { 'busy-workers': busy } },
          })),
          ...booting.map((name) => ({ name, state: 'booting' as const, sample: undefined })),
        ],
      },
      before,
    );
    before = round;
    if (round.size !== wanted) resizedAtMs = nowMs;
    onRound(round);
    return round.size;
  };
}
