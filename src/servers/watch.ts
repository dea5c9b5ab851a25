// Keeps the servers' states true. Wrong is: a server counts as ready and its agent has been silent for longer than
// LOST_AFTER_MS, or it counts as lost and its agent is heard again (its hello brings it back).
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
    const lost = (server.state === 'ready' || server.state === 'draining') && silentMs > LOST_AFTER_MS;
    if (lost) {
      const reason = `no heartbeat for ${Math.round(silentMs / 1000)} s`;
      await store.transaction(async (sql) => {
        if (await storeServerState(sql, server.name, 'lost', reason)) {
          await events.append(sql, { kind: 'server.lost', subject: `server:${server.name}`, by: 'watch', reason });
        }
      });
    }
    const state = lost ? 'lost' : server.state;
    counts[state] = (counts[state] ?? 0) + 1;
  }
  return counts;
}
