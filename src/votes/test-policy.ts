// Policies, nodes and situations of the tests of this room. Apart so that each test says only what it is about.
import type { Situation, VotingNode } from './decide.ts';
import type { MetricName } from './metrics.ts';
import { type Policy, type PolicyWish, toPolicy } from './policy.ts';

export const NOW_MS = Date.UTC(2026, 0, 5, 12);

/** 2 to 6 nodes, by busy workers: above 8 for a minute it grows by 2, below 3 for two minutes it shrinks. */
export function makePolicy(change: Partial<PolicyWish> = {}): Policy {
  return toPolicy(
    {
      min: 2,
      max: 6,
      alerts: [
        { metric: 'busy-workers', is: '>', threshold: 8, forS: 60, vote: 'grow' },
        { metric: 'busy-workers', is: '<', threshold: 3, forS: 120, vote: 'shrink' },
      ],
      ...change,
    },
    { name: 'web', role: 'serving' },
  );
}

export const makeNode = (
  name: string,
  values: Partial<Record<MetricName, number>> | undefined,
  change: { state?: VotingNode['state']; takenAtMs?: number } = {},
): VotingNode => ({
  name,
  state: change.state ?? 'ready',
  sample: values === undefined ? undefined : { takenAtMs: change.takenAtMs ?? NOW_MS, values },
});

/** So many nodes with as many busy workers as each number says. */
export const busy = (...each: number[]): VotingNode[] =>
  each.map((value, index) => makeNode(`n${index}`, { 'busy-workers': value }));

export function makeSituation(change: Partial<Situation> = {}): Situation {
  const nodes = change.nodes ?? busy(5, 5);
  return {
    nowMs: NOW_MS,
    pool: 'web',
    wanted: nodes.length,
    resizedAtMs: undefined,
    held: undefined,
    paused: undefined,
    unsettled: undefined,
    ceilings: [],
    failures: undefined,
    othersGrow: [],
    visits: undefined,
    work: undefined,
    foretold: undefined,
    ...change,
    nodes,
  };
}
