// New nodes that failed, for whoever would make another one: healing waits longer each time, votes stop growing.
import { listSince } from '../platform/operations/list-all.ts';
import type { PoolParts } from './parts.ts';
import { listPools } from './store.ts';

export interface NodeFailures {
  /** Since the last good one. */
  count: number;
  /** When the last one had failed, in ms since 1970. */
  lastMs: number;
  /** Of the last one. */
  why: string;
}

/** An operation that makes a node has ended after this long, one way or the other. */
const MAKING_MS = 1_800_000;

const FAILED = ['recovered', 'failed', 'fatal'] as const;

/**
 * New nodes of each pool that failed within the window and since its last good one, by the pool's name. A pool that had
 * the same name before is another.
 */
export async function readNodeFailures(
  { operations, store }: Pick<PoolParts, 'operations' | 'store'>,
  { nowMs, windowMs }: { nowMs: number; windowMs: number },
): Promise<Map<string, NodeFailures>> {
  const found = new Map<string, NodeFailures>();
  const kind = 'node.create';
  // As a rule there are none, and then the good ones, which may be thousands, need not be read.
  const failed = await listSince(operations, { kind, states: FAILED }, nowMs - windowMs - MAKING_MS);
  const first = failed.at(-1);
  if (first === undefined) return found;
  const made = await listSince(operations, { kind }, Date.parse(first.createdAt));
  const createdMs = new Map((await listPools(store)).map(({ name, createdAt }) => [name, Date.parse(createdAt)]));
  const settled = new Set<string>();
  for (const { params, state, endedAt, problem } of made) {
    const { pool = '' } = params as { pool?: string };
    if (endedAt === null || settled.has(pool) || state === 'cancelled') continue;
    const endedMs = Date.parse(endedAt);
    const isOfAnother = endedMs < (createdMs.get(pool) ?? 0);
    if (state === 'succeeded' || isOfAnother || nowMs - endedMs > windowMs) settled.add(pool);
    else {
      const { count, lastMs, why } = found.get(pool) ?? { count: 0, lastMs: endedMs, why: problem?.detail ?? state };
      found.set(pool, { count: count + 1, lastMs, why });
    }
  }
  return found;
}
