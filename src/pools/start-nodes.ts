// Starts what a pool lacks and takes away what it has too much of. Called by the heal loop and by the operations that
// change a pool; rows and operations begin in one transaction, so that whoever comes second sees what the first began.
import { randomBytes } from 'node:crypto';
import type { Asker, Operation } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { listServers } from '../servers/store.ts';
import { listGenerations } from './generations.ts';
import { type PoolParts, poolLock } from './parts.ts';
import { orderBySpread } from './spread.ts';
import { insertNode, listNodes, type NodeRow, type PoolRow, readPool } from './store.ts';

/** A name of its own for a node, of the pool's name and four characters. */
export function makeNodeName(pool: string): string {
  return `${pool}-${randomBytes(5)
    .toString('base64url')
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '')
    .padEnd(4, 'x')
    .slice(0, 4)}`;
}

export interface Started {
  /** Operations that make nodes. */
  making: string[];
  /** Operations that take nodes away. */
  removing: string[];
}

/** Begins making one node, of the pool's own generation unless told. */
export async function startNode(
  parts: PoolParts,
  sql: Sql,
  wish: { pool: string; imageNumber: number; generation?: number; name?: string },
  who: Asker,
): Promise<Operation> {
  const { pool, imageNumber } = wish;
  const generation = wish.generation ?? (await readPool(sql, pool))?.generation ?? 0;
  const node = wish.name ?? makeNodeName(pool);
  const reason = who.reason ?? 'the pool wants one more';
  await parts.events.append(sql, {
    kind: 'pool.node-begun',
    subject: poolLock(pool),
    by: who.by,
    reason,
    data: { node },
  });
  await insertNode(sql, { name: node, pool, imageNumber, generation, reason });
  return parts.operations.start(sql, 'node.create', { node, pool }, who);
}

/** Begins taking one node away; `force` when it is dead, `keepLog` when somebody will ask what it died of, `patienceS` for its runs. */
export async function startRemoval(
  parts: PoolParts,
  sql: Sql,
  node: NodeRow,
  force: boolean,
  who: Asker,
  { keepLog = false, patienceS }: { keepLog?: boolean; patienceS?: number | undefined } = {},
): Promise<Operation> {
  const why = who.reason ?? 'the pool wants one less';
  const params = {
    node: node.name,
    pool: node.pool,
    force,
    why,
    keepLog,
    ...(patienceS === undefined ? {} : { patienceS }),
  };
  const event = { kind: 'pool.node-leaving', subject: poolLock(node.pool), by: who.by, reason: `${node.name}: ${why}` };
  await parts.events.append(sql, event);
  return parts.operations.start(sql, 'node.remove', params, who);
}

/**
 * Brings the number of living nodes of each generation to what the pool wants; who is too many leaves as sortLeaving says. `most`:
 * so many are begun at once.
 */
export async function startMissing(
  parts: PoolParts,
  sql: Sql,
  poolName: string,
  who: Asker,
  most = Number.POSITIVE_INFINITY,
): Promise<Started> {
  const started: Started = { making: [], removing: [] };
  const pool = await readPool(sql, poolName);
  if (pool === undefined) return started;
  const nodes = (await listNodes(sql, { pool: poolName })).filter(
    ({ state }) => state === 'booting' || state === 'ready',
  );
  for (const { generation, imageNumber, wanted } of listGenerations(pool)) {
    const living = nodes.filter((node) => node.generation === generation);
    for (let count = living.length; count < wanted && started.making.length < most; count += 1) {
      const reason = who.reason ?? `${living.length} of ${wanted} nodes live`;
      const wish = { pool: poolName, imageNumber, generation };
      started.making.push((await startNode(parts, sql, wish, { ...who, reason })).id);
    }
    const tooMany = living.length - wanted;
    const surplus = tooMany <= 0 ? [] : (await sortLeaving(sql, pool, living)).slice(0, tooMany);
    const first =
      pool.leaves === 'oldest'
        ? 'its server has the most of them, or it is the oldest'
        : 'its server carries the fewest nodes';
    for (const node of surplus) {
      const reason = who.reason ?? `${living.length} nodes live, ${wanted} are wanted; ${first}`;
      started.removing.push((await startRemoval(parts, sql, node, false, { ...who, reason })).id);
    }
  }
  return started;
}

/**
 * The nodes that serve, in the order in which they leave: so that those that stay are spread over servers, the oldest first; or the one
 * whose server carries the fewest nodes of all pools.
 */
export async function sortLeaving(sql: Sql, pool: PoolRow, living: readonly NodeRow[]): Promise<NodeRow[]> {
  const servers = await listServers(sql);
  if (pool.leaves === 'oldest') return orderBySpread(living, servers);
  const carried = new Map<string | null, number>();
  for (const { server } of await listNodes(sql)) carried.set(server, (carried.get(server) ?? 0) + 1);
  return living
    .filter((node) => node.state === 'ready')
    .sort((one, other) => (carried.get(one.server) ?? 0) - (carried.get(other.server) ?? 0));
}
