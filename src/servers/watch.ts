// Keeps the servers' states true. Wrong is: a server counts as ready and its agent has been silent for longer than
// LOST_AFTER_MS, or it counts as lost and its agent is heard again. An agent that was frozen goes on over the same
// connection, without another hello.
import type { Events } from '../platform/events.ts';
import type { Store } from '../platform/store.ts';
import { listServers, storeServerState } from './store.ts';

/** Ten missed heartbeats. */
export const LOST_AFTER_MS = 10_000;

/** One look at all servers; returns how many are in which state. */
export async function watchServers(store: Store, events: Events): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const server of await listServers(store)) {
    const silentMs = server.silentMs ?? Number.POSITIVE_INFINITY;
    const silent = silentMs > LOST_AFTER_MS;
    const change =
      silent && (server.state === 'ready' || server.state === 'draining')
        ? ({ state: 'lost', reason: `no heartbeat for ${Math.round(silentMs / 1000)} s` } as const)
        : !silent && server.state === 'lost'
          ? ({ state: 'ready', reason: 'its agent is heard again' } as const)
          : undefined;
    if (change !== undefined) {
      await store.transaction(async (sql) => {
        if (!(await storeServerState(sql, server.name, change.state, change.reason))) return;
        const [kind, subject] = [`server.${change.state}`, `server:${server.name}`];
        await events.append(sql, { kind, subject, by: 'watch', reason: change.reason });
      });
    }
    const state = change?.state ?? server.state;
    counts[state] = (counts[state] ?? 0) + 1;
  }
  return counts;
}
