// The simulation as figures: each day under votes, under the rules of the HPA, and its cheapest schedule. Shared by the test
// and the benchmark.  node test/simulation/votes/compare.ts [SEED]
import { type Policy, toPolicy } from '../../../src/votes/policy.ts';
import { findCheapest } from './cheapest.ts';
import { makeVotes, type Report, runDay } from './day.ts';
import { makeHpa } from './hpa.ts';
import { type Day, makeDays, NODE_WORKERS, STEP_S } from './traffic.ts';

export const BOUNDS = { min: 2, max: 16 };
/** Grows before the bound is reached, so that there is time to boot; shrinks when fewer would still be below that. */
export const DAY_POLICY: Policy = toPolicy(
  {
    ...BOUNDS,
    alerts: [
      { metric: 'busy-workers', is: '>', threshold: 0.85 * NODE_WORKERS, forS: 20, vote: 'grow' },
      { metric: 'busy-workers', is: '<', threshold: 0.7 * NODE_WORKERS, forS: 60, vote: 'shrink' },
    ],
    growBy: 40,
    growUnit: 'percent',
    calmS: 300,
    stabiliseS: 900,
  },
  { name: 'web', role: 'serving' },
);
const HPA_TARGET = 0.8 * NODE_WORKERS;
/** A grow, a shrink and a grow within so long is a flap: longer than the stabilisation window, in which there can be none. */
const FLAP_S = 1_200;

export interface Comparison {
  day: string;
  resizesInCalm: number;
  flaps: number;
  outOfBounds: number;
  costRatio: number;
  hpaCostRatio: number;
  /** Against the size that each step needed, which no scaler can follow. */
  idealRatio: number;
  overS: number;
  hpaOverS: number;
  hpaFlaps: number;
  resizes: number;
  hpaResizes: number;
  failed: number;
  report: Report;
}

export function countFlaps({ resizes }: Report): number {
  return resizes.filter((one, index) => {
    const [second, third] = [resizes[index + 1], resizes[index + 2]];
    if (second === undefined || third === undefined) return false;
    const up = (resize: typeof one) => resize.to > resize.from;
    return up(one) && !up(second) && up(third) && (third.step - one.step) * STEP_S <= FLAP_S;
  }).length;
}

export function compareDay(day: Day, policy: Policy = DAY_POLICY): Comparison {
  const votes = runDay(day, makeVotes(policy), BOUNDS.min);
  const hpa = runDay(day, makeHpa({ ...BOUNDS, target: HPA_TARGET }), BOUNDS.min);
  const cheapest = findCheapest(day.demand, { ...BOUNDS, calmS: policy.calmS });
  const ideal = findCheapest(day.demand, { ...BOUNDS, calmS: 0 });
  const calmSteps = policy.calmS / STEP_S;
  return {
    day: day.name,
    resizesInCalm: votes.resizes.filter(
      ({ step }, index) => index > 0 && step - (votes.resizes[index - 1]?.step ?? 0) < calmSteps,
    ).length,
    flaps: countFlaps(votes),
    outOfBounds: votes.wanted.filter((size) => size < BOUNDS.min || size > BOUNDS.max).length,
    costRatio: votes.nodeSeconds / cheapest,
    hpaCostRatio: hpa.nodeSeconds / cheapest,
    idealRatio: votes.nodeSeconds / ideal,
    ...{ overS: votes.overS, hpaOverS: hpa.overS, hpaFlaps: countFlaps(hpa) },
    ...{ resizes: votes.resizes.length, hpaResizes: hpa.resizes.length, failed: votes.failed, report: votes },
  };
}

export const compareDays = (seed: number): Comparison[] => makeDays(seed).map((day) => compareDay(day));

if (import.meta.main) {
  for (const { report, ...figures } of compareDays(Number(process.argv[2] ?? 1)))
    process.stdout.write(`${JSON.stringify(figures)}\n`);
}
