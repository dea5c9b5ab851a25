// Tells the agents that carry a pool's nodes to look, and says whether every node that should serve has applied what
// the store holds. Apart because making nodes and changing sites both end with it.

import { generationKey } from './generations.ts';
import { AGENT_CALL_MS, type PoolParts } from './parts.ts';
import { poolProblems } from './problems.ts';
import { listNodes } from './store.ts';

/** Has the agents apply the pool's configuration everywhere, in all its generations and at its workers too; `pool.not-applied` (retryable) names the first node that has not. */
export async function syncPool(parts: PoolParts, pool: string, signal: AbortSignal): Promise<void> {
  const nodes = (await listNodes(parts.store, { sitesOf: pool })).filter((node) => node.server !== null);
  const keys = new Map(
    nodes.map((node) => [`${node.server} ${node.generation}`, [node.server ?? '', node.generation] as const]),
  );
  const answers = await Promise.all(
    [...keys.values()].map(([server, generation]) => {
      const params = { pool: generationKey(pool, generation) };
      return parts.agents.call(server, 'pool.sync', params, { timeoutMs: AGENT_CALL_MS, signal });
    }),
  );
  const applied = new Map(answers.flatMap((answer) => answer.nodes).map((node) => [node.node, node]));
  for (const node of nodes) {
    if (node.state !== 'ready') continue; // the others catch up when they boot, or leave
    const answer = applied.get(node.name);
    if (answer?.applied) continue;
    throw poolProblems.make('not-applied', {
      node: node.name,
      why: answer?.detail ?? 'its agent does not know it yet',
    });
  }
}

/** The same for one node that is not ready yet. */
export async function syncNode(
  parts: PoolParts,
  node: { name: string; sitesOf: string; generation: number; server: string },
  signal: AbortSignal,
): Promise<void> {
  await parts.agents.call(node.server, 'server.sync', {}, { timeoutMs: AGENT_CALL_MS, signal });
  const answer = await parts.agents.call(
    node.server,
    'pool.sync',
    { pool: generationKey(node.sitesOf, node.generation) },
    { timeoutMs: AGENT_CALL_MS, signal },
  );
  const mine = answer.nodes.find((one) => one.node === node.name);
  if (mine?.applied) return;
  throw poolProblems.make('not-applied', { node: node.name, why: mine?.detail ?? 'its agent does not know it yet' });
}
