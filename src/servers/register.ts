// What servers bring: the operations of a cluster and of a lost server, the loops that see silent ones and tell agents of their
// network, routes.
import type { House } from '../platform/house.ts';
import type { ApiRoutes } from '../platform/http.ts';
import { makeLoop } from '../platform/loops.ts';
import type { Sql } from '../platform/store.ts';
import { type CleanParts, makeServerClean } from './clean.ts';
import { makeClusterRoutes } from './cluster-routes.ts';
import { isAlone } from './cluster-store.ts';
import { type FenceParts, makeServerFence } from './fence.ts';
import { type FirewallFacts, listFirewallChoices } from './firewall.ts';
import { makeFirewallRoutes } from './firewall-routes.ts';
import type { Hearing } from './hearing.ts';
import { makeClusterMake } from './make-cluster.ts';
import { makeServerRemove, type RemoveParts } from './remove.ts';
import { makeServerRoutes } from './routes.ts';
import { makeNetworkTeller } from './tunnel.ts';
import { LOST_AFTER_MS, type WatchParts, watchServers } from './watch.ts';

const WATCH_MS = 1_000;

/** Registers the room's operations and loops; gives its routes. */
export function registerServers(
  { operations, loops }: House,
  parts: {
    joining: RemoveParts;
    loss: FenceParts & CleanParts & WatchParts;
    hearing: Hearing;
    readFacts(sql: Sql): Promise<FirewallFacts>;
  },
): ApiRoutes[] {
  const { joining, loss, hearing, readFacts } = parts;
  const { store, events, agents, clock } = loss;
  const beganMs = clock.monotonicMs();
  operations.register(makeClusterMake(joining));
  operations.register(makeServerRemove(joining));
  operations.register(makeServerFence(loss));
  operations.register(makeServerClean(loss));
  loops.add(
    makeLoop({
      name: 'servers.watch',
      wrongWhen:
        'a server counts as ready and its agent is silent, or it is gone and not fenced, or back and not cleaned',
      everyMs: WATCH_MS,
      timeoutMs: 10_000,
      // A controller that has just begun to lead has heard nobody yet: silence counts from its beginning.
      runOnce: async (signal) =>
        clock.monotonicMs() - beganMs < LOST_AFTER_MS
          ? { waits: 'agents are coming to the controller that has just begun to lead' }
          : await hearing.look(WATCH_MS, () => watchServers(loss, signal)),
    }),
  );
  loops.add(
    makeLoop({
      name: 'servers.network',
      wrongWhen: 'servers, their addresses, or who may reach whom are others than those that an agent was told of',
      everyMs: 2_000,
      timeoutMs: 15_000,
      runOnce: makeNetworkTeller(store, agents, async (sql) => [
        ...[await readFacts(sql), await listFirewallChoices(sql), await isAlone(sql)],
      ]),
    }),
  );
  return [makeServerRoutes(loss), makeClusterRoutes(joining), makeFirewallRoutes({ store, events, agents })];
}
