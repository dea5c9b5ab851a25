// What becomes of a round of votes: grow, shrink or stay, with the reason. Pure; the loop gathers the situation, this
// decides, and the simulation calls the very same function.
import { metricOf } from './metrics.ts';
import type { Policy } from './policy.ts';
import { type Bounds, boundsAt } from './schedule.ts';
import { castVote, type NodeVote, type Sample } from './vote.ts';

export interface VotingNode {
  name: string;
  state: 'booting' | 'ready' | 'draining' | 'unhealthy' | 'lost';
  sample: Sample | undefined;
}

/** Everything that a decision looks at. */
export interface Situation {
  nowMs: number;
  pool: string;
  /** How many nodes the pool wants now. */
  wanted: number;
  nodes: readonly VotingNode[];
  /** When its size was last changed, by votes or by hand; undefined before the first time. */
  resizedAtMs: number | undefined;
  /** Why nobody may resize now: an operation has the pool. */
  held: string | undefined;
  /** A person keeps it at its size. An empty pool is woken all the same: who paused it did not mean to close its sites. */
  paused: string | undefined;
  /** Why it must not shrink now beside what its nodes' states say: a roll, a node that is replaced, a failover. */
  unsettled: string | undefined;
  /** Bounds that are not the policy's, each with its reason: free connections, free memory. */
  ceilings: readonly { most: number; why: string }[];
  /** New nodes that failed since the last that came up. */
  failures: { count: number; lastMs: number; why: string } | undefined;
  /** Other pools that grow now or have just grown. */
  othersGrow: readonly string[];
  /** When the last visitor was seen at the edge, and whether one is held there now. Undefined: nobody can tell. */
  visits: { lastMs: number | undefined; held: number } | undefined;
  /** What works on one of its sites now: it needs a node, visitors or not. */
  work: string | undefined;
  /** How many nodes the same hour of the last week needed; undefined when it is not known or not regular. */
  foretold: number | undefined;
}

export type Decision = 'grow' | 'shrink' | 'bounds' | 'stay' | 'blocked';

export interface Round {
  atMs: number;
  wanted: number;
  ready: number;
  booting: number;
  min: number;
  max: number;
  voters: number;
  grow: number;
  shrink: number;
  votes: NodeVote[];
  /** Since when every round had enough votes to shrink, and the rest could carry the load; null when the last had not. */
  leanSinceMs: number | null;
  /** Since when every round had enough votes to grow. */
  growSinceMs: number | null;
  decision: Decision;
  /** What the pool is to want from now on. */
  size: number;
  reason: string;
  /** What growth ahead of need would have wanted, whether or not it is switched on. */
  foretold: number | null;
  /** How many nodes the load of now needs by the first alert that a shared load raises; null when there is none or no data. */
  needed: number | null;
}

/** What held before a longer gap between two rounds (the controller was away, a clock was set) is not known to have held through it. */
const GAP_MS = 15_000;
/** After a growth whose nodes failed the next waits calm time, doubled with each failure up to this: what was mended is found soon. */
const FAILED_WAIT_MOST_MS = 1_800_000;
const FAILED_WAIT_LEAST_MS = 60_000;

/** Votes needed: the share of the voters, rounded up, and one at least. One of one, two of two, two of three (51 %). */
export const votesNeeded = (voters: number, percent: number): number =>
  Math.max(1, Math.ceil((voters * percent) / 100));

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
const sayBooting = (count: number): string => (count === 1 ? '1 node boots' : `${count} nodes boot`);
const inSeconds = (ms: number): string => `${Math.max(1, Math.ceil(ms / 1_000))} s`;

/** A number from 0 to 1 that a name always gets: pools that see one fault do not act in the same moment. */
export function scatter(name: string): number {
  let hash = 2_166_136_261;
  for (const char of name) hash = Math.imul(hash ^ char.charCodeAt(0), 16_777_619) >>> 0;
  return hash / 4_294_967_296;
}

/** Whether what the nodes that remain would carry then raises an alert to grow: the shrink would be taken back. */
function foretellOverload(policy: Policy, votes: readonly NodeVote[], remaining: number): string | undefined {
  for (const [index, alert] of policy.alerts.entries()) {
    if (alert.vote !== 'grow' || alert.is !== '>' || !metricOf(alert.metric).shared) continue;
    const values = votes.flatMap(({ alerts }) => alerts[index]?.value ?? []);
    if (values.length === 0) continue;
    const each = values.reduce((sum, value) => sum + value, 0) / remaining;
    if (each > alert.threshold)
      return `${alert.metric} would be ${Math.round(each * 10) / 10} on each of ${plural(remaining, 'node')} that remain, over ${alert.threshold}`;
  }
  return undefined;
}

/** Casts the votes and decides. `last` is the round before, from which durations go on, unless nobody looked for too long. */
export function runRound(policy: Policy, situation: Situation, last: Round | undefined): Round {
  const { nowMs, wanted, nodes } = situation;
  const before = last !== undefined && Math.abs(nowMs - last.atMs) <= GAP_MS ? last : undefined;
  const bounds = boundsAt(policy, nowMs);
  const ready = nodes.filter(({ state }) => state === 'ready');
  const booting = nodes.filter(({ state }) => state === 'booting').length;
  const known = new Map(before?.votes.map((vote) => [vote.node, vote]));
  const votes = ready.map((node) => castVote(policy, node, known.get(node.name), nowMs));
  const count = (vote: NodeVote['vote']): number => votes.filter((one) => one.vote === vote).length;
  const [grow, shrink, voters] = [count('grow'), count('shrink'), votes.length];
  const needed = votesNeeded(voters, policy.decisionPercent);
  const growing = voters > 0 && grow >= needed;
  const overload = wanted > 1 ? foretellOverload(policy, votes, wanted - 1) : undefined;
  const leaning = voters > 0 && !growing && shrink >= needed && overload === undefined;
  const leanSinceMs = leaning ? Math.min(before?.leanSinceMs ?? nowMs, nowMs) : null;
  const growSinceMs = growing ? Math.min(before?.growSinceMs ?? nowMs, nowMs) : null;
  const facts = { bounds, booting, voters, grow, shrink, needed, growing, leanSinceMs, growSinceMs, overload, votes };
  const { decision, size, reason } = decide(policy, situation, facts);
  return {
    needed: countNeeded(policy, votes, bounds),
    ...{
      atMs: nowMs,
      wanted,
      ready: ready.length,
      booting,
      min: bounds.min,
      max: bounds.max,
      voters,
      grow,
      shrink,
      votes,
    },
    ...{ leanSinceMs, growSinceMs, decision, size, reason, foretold: situation.foretold ?? null },
  };
}

/** So many nodes that none would be above the threshold, were the load spread evenly. */
function countNeeded(policy: Policy, votes: readonly NodeVote[], { min, max }: Bounds): number | null {
  const index = policy.alerts.findIndex(
    ({ vote, is, metric }) => vote === 'grow' && is === '>' && metricOf(metric).shared,
  );
  const threshold = policy.alerts[index]?.threshold ?? 0;
  const values = votes.flatMap(({ alerts }) => alerts[index]?.value ?? []);
  if (threshold <= 0 || values.length === 0 || values.length < votes.length) return null;
  const sum = values.reduce((total, value) => total + value, 0);
  return Math.min(max, Math.max(min, 1, Math.ceil(sum / threshold)));
}

interface Facts {
  bounds: Bounds;
  booting: number;
  voters: number;
  grow: number;
  shrink: number;
  needed: number;
  growing: boolean;
  leanSinceMs: number | null;
  growSinceMs: number | null;
  overload: string | undefined;
  votes: readonly NodeVote[];
}
type Verdict = Pick<Round, 'decision' | 'size' | 'reason'>;

function decide(policy: Policy, situation: Situation, facts: Facts): Verdict {
  const { wanted, held, paused } = situation;
  const stay = (reason: string): Verdict => ({ decision: 'stay', size: wanted, reason });
  const blocked = (reason: string): Verdict => ({ decision: 'blocked', size: wanted, reason });
  const wish = chooseWish(policy, situation, facts);
  if (wish.size === wanted) return stay(wish.reason);
  const wakes = wanted === 0 && wish.now === true;
  const hold = held ?? (wakes ? undefined : paused);
  if (hold !== undefined) return blocked(`${wish.reason}, but ${hold}`);
  if (wish.size < wanted) {
    const why = whyNotShrink(policy, situation, facts, wish);
    if (why !== undefined) return blocked(`${wish.reason}, but ${why}`);
    return { decision: wish.decision, size: wish.size, reason: wish.reason };
  }
  const why = whyNotGrow(policy, situation, facts, wish);
  if (why !== undefined) return blocked(`${wish.reason}, but ${why}`);
  const ceiling = [...situation.ceilings].sort((one, other) => one.most - other.most)[0];
  const size = Math.min(wish.size, ceiling?.most ?? wish.size);
  if (size <= wanted) return blocked(`${wish.reason}, but ${ceiling?.why ?? ''}`);
  const bound = size < wish.size ? `; no more than ${size}: ${ceiling?.why ?? ''}` : '';
  return { decision: wish.decision, size, reason: `${wish.reason}${bound}` };
}

type Wish = Verdict & { now?: boolean };

/** What the pool should become, were nothing in the way. */
function chooseWish(policy: Policy, situation: Situation, facts: Facts): Wish {
  const { wanted, visits, work, foretold } = situation;
  const { bounds, voters, grow, shrink, needed, booting } = facts;
  const from = bounds.window === undefined ? '' : ` by the schedule (${bounds.window})`;
  if (wanted === 0) {
    if (visits !== undefined && visits.held > 0)
      return {
        decision: 'grow',
        size: Math.max(1, bounds.min),
        reason: `${visits.held === 1 ? 'a visitor waits' : `${visits.held} visitors wait`} at the edge of an empty pool`,
        now: true,
      };
    if (work !== undefined)
      return { decision: 'grow', size: Math.max(1, bounds.min), reason: `${work} and needs a node`, now: true };
    if (bounds.min === 0)
      return { decision: 'stay', size: 0, reason: 'nobody visits it, and the first visitor wakes it' };
  }
  if (wanted < bounds.min)
    return {
      decision: 'bounds',
      size: bounds.min,
      reason: `${wanted} wanted, at least ${bounds.min}${from}`,
      now: true,
    };
  if (wanted > bounds.max)
    return {
      decision: 'bounds',
      size: bounds.max,
      reason: `${wanted} wanted, at most ${bounds.max}${from}`,
      now: true,
    };
  const silent = facts.votes.filter(({ alerts }) => alerts.length === 0).length;
  if (policy.ahead && foretold !== undefined && foretold > wanted && wanted < bounds.max && silent < voters)
    return {
      decision: 'grow',
      size: Math.min(bounds.max, foretold),
      reason: `the last week needed ${foretold} at this hour`,
    };
  const tally = `${grow} of ${plural(voters, 'voter')} for growing, ${shrink} for shrinking, ${needed} needed`;
  if (facts.growing) {
    const step = policy.growUnit === 'nodes' ? policy.growBy : Math.max(1, Math.ceil((wanted * policy.growBy) / 100));
    if (wanted >= bounds.max)
      return { decision: 'stay', size: wanted, reason: `${tally}; it has its most, ${bounds.max}${from}` };
    // What boots is capacity that was asked for already.
    if (booting >= step) return { decision: 'stay', size: wanted, reason: `${tally}; ${sayBooting(booting)} already` };
    return {
      decision: 'grow',
      size: Math.min(bounds.max, wanted + step - booting),
      reason: `${tally}: ${firstReason(facts.votes, 'grow')}`,
    };
  }
  if (voters === 0)
    return {
      decision: 'stay',
      size: wanted,
      reason: booting > 0 ? `no voter yet: ${sayBooting(booting)}` : 'no node can vote',
    };
  const toZero = wanted === 1 && bounds.min === 0;
  if (toZero) return chooseZero(policy, situation);
  if (shrink >= needed) {
    if (wanted <= bounds.min)
      return { decision: 'stay', size: wanted, reason: `${tally}; it has its least, ${bounds.min}${from}` };
    if (wanted === 1)
      return { decision: 'stay', size: 1, reason: `${tally}; the last node goes only when nobody visits` };
    if (facts.overload !== undefined) return { decision: 'stay', size: wanted, reason: `${tally}; ${facts.overload}` };
    if (policy.ahead && foretold !== undefined && wanted <= foretold)
      return { decision: 'stay', size: wanted, reason: `${tally}; the last week needed ${foretold} at this hour` };
    return { decision: 'shrink', size: wanted - 1, reason: `${tally}: ${firstReason(facts.votes, 'shrink')}` };
  }
  const quiet =
    silent === voters
      ? `${voters === 1 ? 'its only voter is' : `all ${voters} voters are`} silent: ${facts.votes[0]?.reason ?? ''}`
      : tally;
  return { decision: 'stay', size: wanted, reason: quiet };
}

function chooseZero(policy: Policy, { visits, work, nowMs, wanted }: Situation): Wish {
  const stay = (reason: string): Wish => ({ decision: 'stay', size: wanted, reason });
  if (work !== undefined) return stay(`the last node stays: ${work}`);
  if (visits === undefined) return stay('the edge does not tell whether anybody visits');
  const idleMs = visits.lastMs === undefined ? undefined : nowMs - visits.lastMs;
  if (idleMs === undefined) return stay('it is not known for how long nobody has visited');
  const neededMs = (policy.idleS ?? 0) * 1_000;
  if (visits.held > 0 || idleMs < neededMs)
    return stay(`a visitor came ${inSeconds(idleMs)} ago; the last node goes after ${policy.idleS} s`);
  return { decision: 'shrink', size: 0, reason: `nobody has visited for ${inSeconds(idleMs)}` };
}

function firstReason(votes: readonly NodeVote[], vote: NodeVote['vote']): string {
  const one = votes.find((each) => each.vote === vote);
  return one === undefined ? '' : `${one.node}: ${one.reason}`;
}

function calmLeft(policy: Policy, { nowMs, resizedAtMs }: Situation): number {
  // A clock that was set back must not hold a pool for longer than its calm time.
  return resizedAtMs === undefined ? 0 : Math.min(policy.calmS * 1_000, resizedAtMs + policy.calmS * 1_000 - nowMs);
}

function whyNotGrow(policy: Policy, situation: Situation, facts: Facts, wish: Wish): string | undefined {
  const { nowMs, failures, othersGrow, pool } = situation;
  if (failures !== undefined) {
    const waitMs = Math.min(
      FAILED_WAIT_MOST_MS,
      Math.max(FAILED_WAIT_LEAST_MS, policy.calmS * 1_000) * 2 ** (failures.count - 1),
    );
    const leftMs = Math.min(waitMs, failures.lastMs + waitMs - nowMs);
    if (leftMs > 0)
      return `the last ${failures.count === 1 ? 'new node' : `${failures.count} new nodes`} failed (${failures.why}); it is tried again in ${inSeconds(leftMs)}`;
  }
  if (wish.now === true) return undefined;
  const calmMs = calmLeft(policy, situation);
  if (calmMs > 0) return `calm time has ${inSeconds(calmMs)} left`;
  const waitedMs = nowMs - (facts.growSinceMs ?? nowMs);
  const jitterMs = scatter(pool) * policy.jitterS * 1_000;
  if (othersGrow.length > 0 && waitedMs < jitterMs)
    return `${othersGrow.join(', ')} ${othersGrow.length === 1 ? 'grows' : 'grow'} at the same time; its turn is in ${inSeconds(jitterMs - waitedMs)}`;
  return undefined;
}

function whyNotShrink(policy: Policy, situation: Situation, facts: Facts, wish: Wish): string | undefined {
  const { nowMs, nodes, unsettled } = situation;
  if (unsettled !== undefined) return unsettled;
  const odd = nodes.find(({ state }) => state !== 'ready');
  if (odd !== undefined) return `${odd.name} is ${odd.state}`;
  if (wish.now === true) return undefined;
  const calmMs = calmLeft(policy, situation);
  if (calmMs > 0) return `calm time has ${inSeconds(calmMs)} left`;
  if (wish.size === 0) return undefined;
  const leftMs = (facts.leanSinceMs ?? nowMs) + policy.stabiliseS * 1_000 - nowMs;
  if (leftMs > 0) return `the votes must hold for another ${inSeconds(leftMs)}`;
  return undefined;
}
