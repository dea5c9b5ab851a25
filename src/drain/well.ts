// Whether the deployment is well enough to do without one more server: the gate between the servers of an update. What
// makes nodes again and heals services is others' work; this only looks.
import { listEdges } from '../edge/store.ts';
import { wantedOfAll } from '../pools/generations.ts';
import { listNodes, listPools } from '../pools/store.ts';
import { listServers } from '../servers/store.ts';
import { listServices } from '../services/store.ts';
import type { DrainParts } from './parts.ts';

/** A heartbeat comes each second. */
const FRESH_MS = 5_000;

/** The first thing that is not well, in words; undefined when all is. `updated`: the server that was off. */
export async function findUnwell(parts: DrainParts, updated: string, signal: AbortSignal): Promise<string | undefined> {
  const { store, fleet } = parts;
  for (const server of await listServers(store)) {
    const isIt = server.name === updated;
    if (server.state !== 'ready' && !(isIt && server.state === 'draining'))
      return `the server ${server.name} is ${server.state}: ${server.reason}`;
    if ((server.silentMs ?? Number.POSITIVE_INFINITY) > FRESH_MS) return `the agent of ${server.name} is silent`;
  }
  const member = (await fleet.servers({ signal })).find(({ name }) => name === updated);
  if (member?.status !== 'online') return `Incus says of ${updated}: ${member?.message ?? 'it is no member'}`;
  const nodes = await listNodes(store);
  for (const pool of await listPools(store)) {
    if (pool.state !== 'ready') continue;
    const ready = nodes.filter((node) => node.pool === pool.name && node.state === 'ready').length;
    const wanted = wantedOfAll(pool);
    if (ready < wanted) return `the pool ${pool.name} has ${ready} of ${wanted} nodes`;
  }
  for (const noun of ['database', 'cache'] as const) {
    const ill = (await listServices(store, noun)).find(({ state }) => state !== 'ready');
    if (ill !== undefined) return `the ${noun} server ${ill.name} is ${ill.state}: ${ill.reason}`;
  }
  const silent = await parts.controllers.findSilent(updated);
  if (silent !== undefined) return `the controller on ${updated} is silent: ${silent}`;
  const edge = (await listEdges(store)).find(({ state }) => state !== 'ready');
  return edge === undefined ? undefined : `the edge ${edge.name} is ${edge.state}: ${edge.reason}`;
}
