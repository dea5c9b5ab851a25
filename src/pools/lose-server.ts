// What the loss of a server means for nodes: they take no visitors at once, are forgotten when the server is fenced, so that
// healing makes others elsewhere, and their containers are removed when it is back. Apart from healing, which knows no servers.
import type { Sql } from '../platform/store.ts';
import { releaseAddresses } from '../servers/addresses.ts';
import { nodeLock, type PoolParts } from './parts.ts';
import { deleteNodes, listNodes, listPools, type PoolRow, storeNodesAtEdge } from './store.ts';

/** The edges send its nodes no visitors from now on; they count as living until the fence stands. */
export async function takeOutNodes(sql: Sql, server: string, reason: string): Promise<void> {
  await storeNodesAtEdge(sql, server, { atEdge: false, reason });
}

/** What was kept on a server is open for visitors again. */
export async function takeInNodes(sql: Sql, server: string): Promise<void> {
  await storeNodesAtEdge(sql, server, { atEdge: true, reason: 'its server is back' });
}

/** Forgets the server's nodes but for those that are no copies of an image. `left`: what cannot be made elsewhere, and why. */
export async function abandonNodes(
  { events }: Pick<PoolParts, 'events'>,
  sql: Sql,
  server: string,
): Promise<{ nodes: string[]; left: string[] }> {
  const pools = new Map((await listPools(sql)).map((pool) => [pool.name, pool]));
  const nodes: string[] = [];
  const left = new Set<string>();
  for (const node of await listNodes(sql, { server })) {
    const pool = pools.get(node.pool);
    if (pool?.state === 'staging') {
      left.add(`the staged copy on ${node.name}: it is a seed that lies there`);
      continue;
    }
    const bound = pools.get(node.sitesOf);
    if (bound !== undefined && isBound(bound))
      left.add(`the nodes of ${node.pool}: the uploads of ${bound.name} lie on a volume there`);
    const reason = `its server ${server} is lost`;
    await events.append(sql, { kind: 'node.lost', subject: nodeLock(node.name), by: 'fence', reason });
    nodes.push(node.name);
  }
  await deleteNodes(sql, ...nodes);
  await releaseAddresses(sql, ...nodes);
  return { nodes, left: [...left] };
}

/** Its uploads lie on a volume of one server. */
const isBound = ({ contentBase }: Pick<PoolRow, 'contentBase'>): boolean => contentBase === null;

/** Removes the containers of nodes on a server that is back which no row knows any more; gives their names. */
export async function removeLeftoverNodes(
  { store, fleet }: Pick<PoolParts, 'store' | 'fleet'>,
  server: string,
  signal: AbortSignal,
): Promise<string[]> {
  const instances = await fleet.instances.list({ labels: { kind: 'node' }, server }, { signal });
  const known = new Set((await listNodes(store, { server })).map(({ name }) => name));
  const unknown = instances.map(({ name }) => name).filter((name) => !known.has(name));
  for (const name of unknown) await fleet.instances.delete(name, { force: true, signal });
  return unknown;
}
