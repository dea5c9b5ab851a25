// The gates of a roll: the pages of the pool's sites asked of nodes directly, and what the edges count of nodes. Reads
// and judges again and again while a roll goes on.
import type { Json } from '../../platform/store.ts';
import { AGENT_CALL_MS, type PageCheck, type PoolParts } from '../parts.ts';
import { poolProblems } from '../problems.ts';
import { listNodes, type NodeRow } from '../store.ts';
import { judgePages, judgeTraffic, type PageAnswer, subtractTraffic, sumTraffic, type Traffic } from './judge.ts';

/** Each page so often; the best time counts, since the first visit of a resting site starts its PHP. */
const TRIES = 3;
const LOOK_MS = 1_000;
/** Pages are asked each so many looks; the edges each time. */
const PAGES_EVERY = 2;
/** Errors are counted within this, so that good minutes do not hide a bad one. */
const WINDOW_MS = 10_000;

/** The pages as a node answers them now. */
export async function readPages(
  parts: PoolParts,
  node: NodeRow,
  checks: readonly PageCheck[],
  tries: number,
  signal: AbortSignal,
): Promise<PageAnswer[]> {
  const { server, address } = node;
  if (server === null || address === null) return [];
  const answers: PageAnswer[] = [];
  for (const { host, path, status, contains } of checks) {
    const target = { address, host, path, ...(contains === undefined ? {} : { contains }) };
    let best: PageAnswer | undefined;
    for (let left = tries; left > 0; left -= 1) {
      const said = await parts.agents.call(server, 'node.probe', target, { timeoutMs: AGENT_CALL_MS, signal });
      const answer = { page: `${host}${path}`, ok: said.ok && said.status === status, ...pick(said) };
      if (best === undefined || (answer.ok && !best.ok) || answer.durationMs < best.durationMs) best = answer;
    }
    if (best !== undefined) answers.push(best);
  }
  return answers;
}

const pick = ({ detail, durationMs }: { detail: string; durationMs: number }) => ({ detail, durationMs });

/** A new node gets so many looks, a second apart: what has just booted may still be waking its sites. */
const FIRST_LOOKS = 3;

/** Throws `pool.serves-worse` unless the node answers the pages of the pool's sites as those of the other image do. */
export async function assertServesAsWell(parts: PoolParts, node: NodeRow, signal: AbortSignal): Promise<void> {
  const checks = await parts.listChecks(parts.store, node.sitesOf);
  const others = (await listNodes(parts.store, { pool: node.pool })).filter(
    (one) => one.state === 'ready' && one.imageNumber !== node.imageNumber,
  );
  const [other] = others;
  for (let left = FIRST_LOOKS - 1; ; left -= 1) {
    const old = other === undefined ? [] : await readPages(parts, other, checks, TRIES, signal);
    const why = judgePages(await readPages(parts, node, checks, TRIES, signal), old);
    if (why === undefined) return;
    if (left === 0) throw poolProblems.make('serves-worse', { node: node.name, why });
    await parts.clock.wait(LOOK_MS, signal);
  }
}

/** What old nodes were like when they were last seen; kept with the roll for when none of them is left. */
export type Baseline = Traffic;

export const toBaseline = (json: Json | undefined): Baseline | undefined =>
  typeof json === 'object' && json !== null && 'requests' in json ? (json as unknown as Baseline) : undefined;

/** Watches the gates of a roll. */
export interface GateWatch {
  /** Looks until it throws: `pool.gate-failed`, what an edge that is away throws, or the signal's reason. */
  watch(signal: AbortSignal): Promise<never>;
  /** One look. */
  look(signal: AbortSignal): Promise<void>;
  baseline(): Baseline | undefined;
}

/** `to`: the new image's number; `before`: of the old nodes, for when none is left. */
export function makeGateWatch(
  parts: PoolParts,
  roll: { pool: string; to: number; before: Baseline | undefined },
): GateWatch {
  const { store, clock } = parts;
  const readings: { atMs: number; of: ReadonlyMap<string, Traffic> }[] = [];
  let baseline = roll.before;
  let looks = 0;
  let failedBefore: string | undefined;

  const fail = (why: string) => poolProblems.make('gate-failed', { pool: roll.pool, image: roll.to, why });

  async function judgeEdges(fresh: readonly NodeRow[], old: readonly NodeRow[], signal: AbortSignal): Promise<void> {
    const atMs = clock.monotonicMs();
    const now = await parts.readTraffic(roll.pool, signal);
    while ((readings[0]?.atMs ?? atMs) < atMs - WINDOW_MS) readings.shift();
    const begun = readings[0]?.of;
    readings.push({ atMs, of: now });
    const within = (node: NodeRow): Traffic | undefined => {
      const [mine, before] = [now.get(node.name), begun?.get(node.name)];
      return mine === undefined ? undefined : before === undefined ? mine : subtractTraffic(mine, before);
    };
    const sum = (nodes: readonly NodeRow[]) => sumTraffic(nodes.flatMap((node) => within(node) ?? []));
    const theirs = sum(old);
    if (theirs.requests > 0) baseline = theirs;
    const why = judgeTraffic(sum(fresh), theirs.requests > 0 ? theirs : (baseline ?? theirs));
    if (why !== undefined) throw fail(why);
  }

  /** Twice in a row: one slow answer of a busy machine is nobody's fault. */
  async function judgeAllPages(fresh: readonly NodeRow[], old: readonly NodeRow[], signal: AbortSignal): Promise<void> {
    const checks = await parts.listChecks(store, roll.pool);
    const [other] = old;
    const theirs = other === undefined ? [] : await readPages(parts, other, checks, 1, signal);
    // Without an old node nobody can say whether a page fails by the image or by itself.
    if (theirs.length === 0) return;
    let why: string | undefined;
    for (const node of fresh) why ??= judgePages(await readPages(parts, node, checks, 1, signal), theirs);
    if (why !== undefined && failedBefore !== undefined) throw fail(why);
    failedBefore = why;
  }

  async function look(signal: AbortSignal): Promise<void> {
    const nodes = await listNodes(store, { pool: roll.pool });
    const mine = nodes.filter((node) => node.imageNumber === roll.to);
    const dead = mine.find((node) => node.state === 'unhealthy' || node.state === 'lost');
    if (dead !== undefined) throw fail(`the new node ${dead.name} is ${dead.state}: ${dead.reason}`);
    const ready = ({ state }: NodeRow) => state === 'ready';
    const fresh = mine.filter(ready);
    const old = nodes.filter((node) => node.imageNumber !== roll.to && ready(node));
    if (fresh.length === 0) return;
    await judgeEdges(fresh, old, signal);
    if (looks % PAGES_EVERY === 0 || failedBefore !== undefined) await judgeAllPages(fresh, old, signal);
    looks += 1;
  }

  return {
    look,
    baseline: () => baseline,
    async watch(signal) {
      for (;;) {
        await look(signal);
        await clock.wait(LOOK_MS, signal);
      }
    },
  };
}
