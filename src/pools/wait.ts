// Whether a pool has the nodes it wants, by what its node operations say. Apart because creating and scaling both wait.
import { listAll, UNDER_WAY } from '../platform/operations/list-all.ts';
import { wantedOfAll } from './generations.ts';
import type { PoolParts } from './parts.ts';
import { poolProblems } from './problems.ts';
import { listNodes, readPool } from './store.ts';

/**
 * Waits for the operations that are under way on the pool's nodes, then throws `pool.nodes-missing` (retryable) when the
 * wanted number does not serve, or `pool.node-broken` when the last node that was made failed.
 */
export async function waitUntilServing(parts: PoolParts, poolName: string, signal: AbortSignal): Promise<void> {
  const { store, operations } = parts;
  const underWay = await listAll(operations, { states: UNDER_WAY });
  const ours = underWay.filter((operation) => (operation.params as { pool?: string }).pool === poolName);
  const ended = await Promise.all(
    ours
      .filter(({ kind }) => kind === 'node.create' || kind === 'node.remove')
      .map(({ id }) => operations.wait(id, signal)),
  );
  const failed = ended.find((operation) => operation.kind === 'node.create' && operation.state !== 'succeeded');
  if (failed !== undefined) {
    throw poolProblems.make('node-broken', { pool: poolName, why: failed.problem?.detail ?? failed.state });
  }
  const pool = await readPool(store, poolName);
  const nodes = await listNodes(store, { pool: poolName });
  const ready = nodes.filter((node) => node.state === 'ready').length;
  const wanted = pool === undefined ? 0 : wantedOfAll(pool);
  if (ready === wanted && nodes.length === wanted) return;
  const why = nodes
    .filter((node) => node.state !== 'ready')
    .map((node) => `${node.name} is ${node.state}: ${node.reason}`)
    .join('; ');
  throw poolProblems.make('nodes-missing', { pool: poolName, ready, wanted, why });
}
