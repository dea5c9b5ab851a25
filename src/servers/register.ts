// What servers bring: the operations of a cluster, the loops that see silent ones and tell agents of their network, routes.
import type { House } from '../platform/house.ts';
import type { ApiRoutes } from '../platform/http.ts';
import { makeLoop } from '../platform/loops.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import { makeClusterRoutes } from './cluster-routes.ts';
import { makeClusterMake } from './make-cluster.ts';
import { makeServerRemove, type RemoveParts } from './remove.ts';
import { makeServerRoutes } from './routes.ts';
import { makeNetworkTeller } from './tunnel.ts';
import { watchServers } from './watch.ts';

/** Registers the room's operations and loops; gives its routes. */
export function registerServers({ operations, loops }: House, joining: RemoveParts, agents: AgentPort): ApiRoutes[] {
  const { store, events } = joining;
  operations.register(makeClusterMake(joining));
  operations.register(makeServerRemove(joining));
  loops.add(
    makeLoop({
      name: 'servers.watch',
      wrongWhen: 'a server counts as ready and its agent is silent',
      everyMs: 2_000,
      timeoutMs: 10_000,
      runOnce: () => watchServers(store, events),
    }),
  );
  loops.add(
    makeLoop({
      name: 'servers.network',
      wrongWhen: 'servers or their blocks of addresses are others than those that an agent was told of',
      everyMs: 2_000,
      timeoutMs: 15_000,
      runOnce: makeNetworkTeller(store, agents),
    }),
  );
  return [makeServerRoutes({ store }), makeClusterRoutes(joining)];
}
