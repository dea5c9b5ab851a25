// Keeps pools at the number of serving nodes that they want. Wrong is: a node has not answered its agent for
// UNHEALTHY_MS, its container is stopped or gone, an operation that made or removed it has given up half way, or fewer
// (more) nodes live than the pool wants. A dead node is replaced, never repaired: the new one is begun first, so that
// service returns as early as it can.
import { HOLDING, listAll } from '../platform/operations/list-all.ts';
import type { NodeReport } from '../protocol/contract.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { type NodeFailures, readNodeFailures } from './failures.ts';
import { wantedOfAll } from './generations.ts';
import { nodeLock, type PoolParts, poolLock } from './parts.ts';
import { startMissing, startRemoval } from './start-nodes.ts';
import { listNodes, listPools, type NodeRow, readNode, storeNodeState } from './store.ts';

/** Silence for this long means dead; the agent calls a node unhealthy after two seconds of silence already. */
export const UNHEALTHY_MS = 3_000;
/** After a failed attempt to make a node of a pool the next waits this long, doubling up to the last value. */
const BACKOFF_MS = [0, 5_000, 15_000, 60_000, 300_000];
/** Failures older than this no longer count. */
const FAILURE_WINDOW_MS = 600_000;

/** Stores what an agent reports of its nodes; true when some node must be looked at. */
export async function noteNodeReports(
  parts: PoolParts,
  server: string,
  reports: readonly NodeReport[],
): Promise<boolean> {
  const { store, events } = parts;
  const rows = new Map((await listNodes(store, { server })).map((node) => [node.name, node]));
  let look = false;
  for (const report of reports) {
    const node = rows.get(report.name);
    if (node === undefined) continue;
    const dead = node.state === 'ready' && !report.healthy && report.sinceMs >= UNHEALTHY_MS;
    const back = node.state === 'unhealthy' && report.healthy;
    if (!dead && !back) continue;
    look = true;
    const reason = dead
      ? `no good answer for ${Math.round(report.sinceMs / 1000)} s: ${report.detail}`
      : 'it answers again';
    await changeConfig(store, async (sql) => {
      const change = dead
        ? { from: ['ready'] as const, to: 'unhealthy' as const, atEdge: true, reason }
        : { from: ['unhealthy'] as const, to: 'ready' as const, atEdge: true, reason };
      if (!(await storeNodeState(sql, node.name, change))) return;
      await events.append(sql, {
        kind: `node.${change.to}`,
        subject: `node:${node.name}`,
        by: `agent:${server}`,
        reason,
      });
    });
  }
  return look;
}

/** One look at all pools; starts what is missing and returns what it began, with the reasons. */
export async function healPools(parts: PoolParts, signal: AbortSignal): Promise<Record<string, string>> {
  const began: Record<string, string> = {};
  const nowMs = parts.clock.nowMs();
  const failures = await readNodeFailures(parts, { nowMs, windowMs: FAILURE_WINDOW_MS });
  for (const pool of await listPools(parts.store)) {
    if (pool.state !== 'ready') continue;
    signal.throwIfAborted();
    const waitMs = readPause(failures.get(pool.name), nowMs);
    const nodes = await listNodes(parts.store, { pool: pool.name });
    const busy = await listBusy(parts);
    // A node that does not serve and that no operation makes or removes: it is dead, or what removed it has failed.
    const dead = nodes.filter((node) => node.state !== 'ready' && !busy.has(nodeLock(node.name)));
    if (waitMs > 0 && nodes.length - dead.length < wantedOfAll(pool)) {
      began[pool.name] = `waits ${Math.ceil(waitMs / 1000)} s: its last new node failed`;
      continue;
    }
    const started = busy.has(poolLock(pool.name)) ? 0 : await fill(parts, pool.name);
    const removals = await removeDead(parts, dead);
    if (started + removals > 0)
      began[pool.name] = `began ${started + removals} operations; ${dead.length} of ${nodes.length} nodes dead`;
  }
  return began;
}

/** The locks that operations hold, those included that need a person. */
async function listBusy(parts: PoolParts): Promise<Set<string>> {
  const holding = await listAll(parts.operations, { states: HOLDING });
  return new Set(holding.flatMap(({ locks }) => locks));
}

async function fill(parts: PoolParts, pool: string): Promise<number> {
  const { making, removing } = await parts.store.transaction((sql) => startMissing(parts, sql, pool, { by: 'heal' }));
  return making.length + removing.length;
}

async function removeDead(parts: PoolParts, dead: readonly NodeRow[]): Promise<number> {
  let removals = 0;
  for (const node of dead) {
    const begun = await parts.store.transaction(async (sql) => {
      const now = await readNode(sql, node.name);
      // What made it may have ended well since we looked.
      if (now === undefined || now.state === 'ready') return false;
      await startRemoval(parts, sql, now, true, { by: 'heal', reason: now.reason });
      return true;
    });
    if (begun) removals += 1;
  }
  return removals;
}

/** Milliseconds until the next node may be tried. */
function readPause(failures: NodeFailures | undefined, nowMs: number): number {
  if (failures === undefined) return 0;
  const wait = BACKOFF_MS[Math.min(failures.count, BACKOFF_MS.length - 1)] ?? 0;
  return Math.max(0, failures.lastMs + wait - nowMs);
}
