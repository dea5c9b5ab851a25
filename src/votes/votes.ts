// The room as others see it: what agents tell, the loops, what people set.

import { commonProblems } from '../lib/errors.ts';
import type { WhenUp } from '../platform/house.ts';
import { type Loop, makeLoop } from '../platform/loops.ts';
import type { Asker } from '../platform/operations/operation.ts';
import { poolLock } from '../pools/parts.ts';
import { startPoolScale } from '../pools/scale.ts';
import { readPool, storePoolLeaving } from '../pools/store.ts';
import type { EdgeSample, NodeSample } from '../protocol/contract.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { countVotes, LOOK_MS } from './count.ts';
import { keepVotes } from './history.ts';
import type { VotesParts } from './parts.ts';
import { type Policy, type PolicyWish, toPolicy } from './policy.ts';
import { votesProblems } from './problems.ts';
import { ASK_MS, askSiteNumbers } from './site-number.ts';
import { removePolicy, storeEdgeSample, storeNodeSamples, storePause, storePolicy } from './store.ts';

const SYNC_MS = 10_000;

/** Takes what heartbeats tell of load. */
export async function noteSamples(
  parts: VotesParts,
  samples: { nodes: readonly NodeSample[]; edges: readonly EdgeSample[] },
): Promise<void> {
  await storeNodeSamples(parts.store, samples.nodes, parts.at());
  for (const sample of samples.edges) await storeEdgeSample(parts.store, sample, parts.at());
}

/** Sets a pool's policy; throws `votes.bad-policy` with all that is wrong with it. What held by the one before begins anew. */
export async function setPolicy(parts: VotesParts, name: string, wish: PolicyWish, who: Asker): Promise<Policy> {
  const set = await changeConfig(parts.store, async (sql) => {
    const pool = await readPool(sql, name);
    if (pool === undefined) throw commonProblems.make('not-found', { noun: 'pool', name });
    const policy = toPolicy(wish, { name, role: pool.worksFor === null ? 'serving' : 'worker' });
    await storePolicy(sql, name, policy, pool.wanted);
    const holds = [policy, ...policy.schedule].some(({ min }) => min === 0);
    await storePoolLeaving(sql, name, { leaves: policy.leaves, holds });
    const event = {
      kind: 'pool.policy-set',
      subject: poolLock(name),
      by: who.by,
      reason: who.reason ?? `${policy.min} to ${policy.max} nodes by votes`,
    };
    await parts.events.append(sql, event);
    return policy;
  });
  // An edge that cannot be reached now follows when it is back.
  await parts.pools
    .syncEdges(AbortSignal.timeout(SYNC_MS))
    .catch((thrown: unknown) => parts.log.warn({ err: thrown }, 'edges not synced'));
  return set;
}

/** Takes the policy away: the pool keeps the size that it has, but for an empty one, which nothing would wake any more. */
export async function dropPolicy(parts: VotesParts, name: string, who: Asker): Promise<void> {
  await changeConfig(parts.store, async (sql) => {
    if (!(await removePolicy(sql, name))) throw votesProblems.make('no-policy', { pool: name });
    await storePoolLeaving(sql, name, { leaves: 'oldest', holds: false });
    if ((await readPool(sql, name))?.wanted === 0)
      await startPoolScale(parts.pools, sql, name, 1, { ...who, reason: 'without a policy nothing would wake it' });
    const reason = who.reason ?? 'it keeps the size that people give it';
    await parts.events.append(sql, { kind: 'pool.policy-removed', subject: poolLock(name), by: who.by, reason });
  });
}

/** Holds a pool at its size, or lets it go on; votes are cast and kept all the same. */
export async function setPaused(parts: VotesParts, name: string, paused: boolean, who: Asker): Promise<void> {
  await parts.store.transaction(async (sql) => {
    const found = await storePause(sql, name, paused ? who.by : null, paused ? (who.reason ?? null) : null);
    if (!found) throw votesProblems.make('no-policy', { pool: name });
    const reason = who.reason ?? (paused ? 'votes no longer resize it' : 'votes resize it again');
    const event = {
      kind: paused ? 'pool.votes-paused' : 'pool.votes-resumed',
      subject: poolLock(name),
      by: who.by,
      reason,
    };
    await parts.events.append(sql, event);
  });
}

/** `whenUp` lets a loop rest while the deployment is down. */
export function makeVotesLoops(parts: VotesParts, whenUp: WhenUp): Loop[] {
  return [
    makeLoop({
      name: 'votes.count',
      wrongWhen: 'a pool with a policy has no round of votes of now',
      everyMs: LOOK_MS,
      timeoutMs: 30_000,
      runOnce: whenUp((signal) => countVotes(parts, signal)),
    }),
    makeLoop({
      name: 'votes.numbers',
      wrongWhen: "a policy asks for a number of a site's and the last is old",
      everyMs: ASK_MS,
      timeoutMs: 15_000,
      runOnce: whenUp((signal) => askSiteNumbers(parts, signal)),
    }),
    makeLoop({
      name: 'votes.history',
      wrongWhen: 'the history of votes has no partition for the days ahead, or one that is too old',
      everyMs: 3_600_000,
      timeoutMs: 60_000,
      runOnce: () => keepVotes(parts.store, parts.at()),
    }),
  ];
}
