// Keeps edges running. Wrong is: an edge's container is stopped or gone. It is started again, or made anew: its
// directory on the server still holds everything that it was last told.
import { isHeld } from '../platform/operations/list-all.ts';
import { isApart, listServers } from '../servers/store.ts';
import type { EdgeParts } from './create.ts';
import { edgeLock, listEdges, storeEdgeState } from './store.ts';

/** One look at all edges; returns what was begun. */
export async function healEdges(parts: EdgeParts, signal: AbortSignal): Promise<Record<string, string>> {
  const { store, fleet, operations, events } = parts;
  const began: Record<string, string> = {};
  const servers = new Map((await listServers(store)).map((server) => [server.name, server.state]));
  for (const edge of await listEdges(store)) {
    if (edge.state === 'creating' || edge.state === 'deleting') continue;
    if (await isHeld(operations, edgeLock(edge.name))) continue;
    const serverState = servers.get(edge.server ?? '') ?? 'ready';
    if (serverState === 'lost' || isApart(serverState)) {
      began[edge.name] = `left alone: its server ${edge.server} is ${serverState}`;
      continue;
    }
    const instance = await fleet.instances.read(edge.name, { signal });
    if (instance?.status === 'running') continue;
    const reason = instance === undefined ? 'its container is gone' : `its container is ${instance.status}`;
    began[edge.name] = reason;
    await store.transaction(async (sql) => {
      if (await storeEdgeState(sql, edge.name, 'unhealthy', reason)) {
        await events.append(sql, { kind: 'edge.unhealthy', subject: edgeLock(edge.name), by: 'heal', reason });
      }
      await operations.start(sql, 'edge.create', { edge: edge.name, heal: true }, { by: 'heal', reason });
    });
  }
  return began;
}
