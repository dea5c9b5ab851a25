// Keeps pools at the number of serving nodes that they want. Wrong is: a node has not answered its agent for
// UNHEALTHY_MS, its container is stopped or gone, an operation that made or removed it has given up half way, or fewer
// (more) nodes live than the pool wants. A dead node is replaced, never repaired: the new one is begun first, so that
// service returns as early as it can.
import { toProblem } from '../lib/errors.ts';
import { HOLDING, listAll } from '../platform/operations/list-all.ts';
import type { Sql } from '../platform/store.ts';
import type { NodeReport } from '../protocol/contract.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { MOST_STARTING } from '../servers/place.ts';
import { listServers, type ServerState } from '../servers/store.ts';
import { readContentServer } from './content.ts';
import { type NodeFailures, readNodeFailures } from './failures.ts';
import { listGenerations, wantedOfAll } from './generations.ts';
import { nodeLock, type PoolParts, poolLock } from './parts.ts';
import { startMissing, startRemoval } from './start-nodes.ts';
import {
  countBooting,
  listNodes,
  listPools,
  listSuspects,
  type NodeRow,
  type PoolRow,
  readNode,
  storeNodeState,
} from './store.ts';

/** Silence for this long means dead; the agent calls a node unhealthy after two seconds of silence already. */
export const UNHEALTHY_MS = 3_000;
/** After a failed attempt to make a node of a pool the next waits this long, doubling up to the last value. */
const BACKOFF_MS = [0, 5_000, 15_000, 60_000, 300_000];
/** Failures older than this no longer count. */
const FAILURE_WINDOW_MS = 600_000;

/** What one agent reports of its nodes. */
export interface ServerReports {
  server: string;
  reports: readonly NodeReport[];
}

/** Stores what agents report of their nodes; true when some node must be looked at. Mostly nothing has changed: then it only looks. */
export async function noteNodeReports(parts: PoolParts, told: readonly ServerReports[]): Promise<boolean> {
  const { store, events } = parts;
  const isDead = ({ healthy, sinceMs }: NodeReport) => !healthy && sinceMs >= UNHEALTHY_MS;
  const dying = told.flatMap(({ reports }) => reports.filter(isDead).map(({ name }) => name));
  const rows = new Map((await listSuspects(store, dying)).map((node) => [`${node.server} ${node.name}`, node]));
  let look = false;
  for (const { server, report } of told.flatMap(({ server, reports }) =>
    reports.map((report) => ({ server, report })),
  )) {
    const node = rows.get(`${server} ${report.name}`);
    if (node === undefined) continue;
    const dead = node.state === 'ready' && isDead(report);
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
  const { store } = parts;
  const began: Record<string, string> = {};
  const nowMs = parts.clock.nowMs();
  const failures = await readNodeFailures(parts, { nowMs, windowMs: FAILURE_WINDOW_MS });
  const nodesOf = Map.groupBy(await listNodes(store), ({ pool }) => pool);
  const servers = new Map((await listServers(store)).map(({ name, state }) => [name, state]));
  // After the nodes: an operation that has ended since is seen in the transaction that would begin another.
  const busy = await listBusy(parts);
  let room = await readRoom(store, servers);
  for (const pool of await listPools(store)) {
    if (pool.state !== 'ready') continue;
    signal.throwIfAborted();
    const waitMs = readPause(failures.get(pool.name), nowMs);
    const nodes = nodesOf.get(pool.name) ?? [];
    // A node that does not serve and that no operation makes or removes: it is dead, or what removed it has failed. On a lost
    // server it waits for what becomes of that.
    const dead = nodes.filter(
      ({ name, state, server }) => state !== 'ready' && !busy.has(nodeLock(name)) && !isAway(servers, server),
    );
    const isMissing = nodes.length - dead.length < wantedOfAll(pool);
    if (waitMs > 0 && isMissing) {
      began[pool.name] = `waits ${Math.ceil(waitMs / 1000)} s: its last new node failed`;
      continue;
    }
    const awaited = isMissing && servers.size > 1 ? await readAwaited(parts, pool, servers) : undefined;
    if (awaited !== undefined) {
      began[pool.name] = awaited;
      continue;
    }
    const isRight = busy.has(poolLock(pool.name)) || hasWanted(pool, nodes);
    const started = isRight ? NOTHING : await fill(parts, pool.name, room);
    room -= started.making;
    const removals = await removeDead(parts, dead);
    const count = started.making + started.removing + removals;
    if (count > 0) began[pool.name] = `began ${count} operations; ${dead.length} of ${nodes.length} nodes dead`;
    else if (isMissing && room <= 0) began[pool.name] = 'waits until other nodes have booted';
  }
  return began;
}

const isAway = (servers: ReadonlyMap<string, ServerState>, server: string | null): boolean =>
  server !== null && ['lost', 'fenced', 'back'].includes(servers.get(server) ?? 'ready');

/**
 * How many more nodes may begin to boot now, so that none of the servers has more than a few at once: after the loss of many
 * servers what was on them comes back in turns. The next turn comes when a node is ready.
 */
async function readRoom(sql: Sql, servers: ReadonlyMap<string, ServerState>): Promise<number> {
  const booting = await countBooting(sql);
  const ready = [...servers].filter(([, state]) => state === 'ready');
  // Without a server nothing is bounded: operations wait for one, and say so.
  if (ready.length === 0) return Number.POSITIVE_INFINITY;
  const room = ready.reduce((sum, [name]) => sum + Math.max(0, MOST_STARTING - (booting.get(name) ?? 0)), 0);
  return room - (booting.get(null) ?? 0);
}

/** Why the pool's nodes can be made nowhere now: the server that has their uploads is away. */
async function readAwaited(
  parts: PoolParts,
  pool: PoolRow,
  servers: ReadonlyMap<string, ServerState>,
): Promise<string | undefined> {
  try {
    const only = await readContentServer(parts, pool.worksFor ?? pool.name);
    if (only === undefined || !isAway(servers, only.server)) return undefined;
    return `waits for ${only.server}, which is ${servers.get(only.server)}: ${only.why}`;
  } catch (thrown) {
    // The engine asks the member on which the volume lies.
    const problem = toProblem(thrown);
    if (!problem.retryable) throw thrown;
    return `waits: where its uploads lie cannot be seen: ${problem.document.detail}`;
  }
}

/** Each generation has the nodes that it wants, so that nothing need be begun. */
function hasWanted(pool: PoolRow, nodes: readonly NodeRow[]): boolean {
  const living = nodes.filter(({ state }) => state === 'booting' || state === 'ready');
  return listGenerations(pool).every(
    ({ generation, wanted }) => living.filter((node) => node.generation === generation).length === wanted,
  );
}

/** The locks that operations hold, those included that need a person. */
async function listBusy(parts: PoolParts): Promise<Set<string>> {
  const holding = await listAll(parts.operations, { states: HOLDING });
  return new Set(holding.flatMap(({ locks }) => locks));
}

const NOTHING = { making: 0, removing: 0 };

async function fill(parts: PoolParts, pool: string, room: number): Promise<typeof NOTHING> {
  const most = Math.max(0, room);
  const started = await parts.store.transaction((sql) => startMissing(parts, sql, pool, { by: 'heal' }, most));
  return { making: started.making.length, removing: started.removing.length };
}

async function removeDead(parts: PoolParts, dead: readonly NodeRow[]): Promise<number> {
  let removals = 0;
  for (const node of dead) {
    const begun = await parts.store
      .transaction(async (sql) => {
        const now = await readNode(sql, node.name);
        // What made it may have ended well since we looked.
        if (now === undefined || now.state === 'ready') return false;
        await startRemoval(parts, sql, now, true, { by: 'heal', reason: now.reason });
        return true;
      })
      .catch((thrown: unknown) => {
        // Another operation has taken it since we looked.
        if (toProblem(thrown).code === 'operations.locked') return false;
        throw thrown;
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
