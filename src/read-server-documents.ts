// What agents are told of their servers. Part of the composition root, since rooms of all kinds put things on a server.
import { listControllerDoors } from './controllers/store.ts';
import { readSharedAddress } from './edge/address.ts';
import { listLastingEdges } from './edge/store.ts';
import type { Store } from './platform/store.ts';
import { generationKey } from './pools/generations.ts';
import type { PoolParts } from './pools/parts.ts';
import { listNodesOn } from './pools/store.ts';
import type { ServerDocument } from './protocol/contract.ts';
import { readFacts } from './read-facts.ts';
import { isAlone } from './servers/cluster-store.ts';
import { readFirewalls } from './servers/firewall.ts';
import { listServers } from './servers/store.ts';
import { readTunnels } from './servers/tunnel.ts';
import { makeRing } from './servers/witnesses.ts';

/** The documents of the servers that ask together, in their order; read once, and after all of them have asked. */
export async function readServerDocuments(
  parts: { store: Store; pools: Pick<PoolParts, 'fleet'>; findCidr(): Promise<string | undefined> },
  asking: readonly string[],
): Promise<ServerDocument[]> {
  const { store, pools, findCidr } = parts;
  const network = { cidr: await findCidr(), bridge: pools.fleet.place.network };
  const { servers, tunnelOf } = await store.transaction(async (sql) => {
    const servers = await listServers(sql);
    return { servers, tunnelOf: await readTunnels(sql, network, servers) };
  });
  const watchedBy = makeRing(servers);
  const firewallOf = await readFirewalls(store, network, servers, await readFacts(store));
  const nodesOf = Map.groupBy(await listNodesOn(store, asking), (node) => node.server);
  const edges = await listLastingEdges(store);
  const [alone, controllers] = [await isAlone(store), await listControllerDoors(store)];
  const trustedProxies = edges.flatMap((one) => (one.address === null ? [] : [`${one.address}/32`]));
  const documents: ServerDocument[] = [];
  for (const server of asking) {
    const [tunnel, firewall] = [tunnelOf(server), firewallOf(server)];
    const own = edges.filter((one) => one.server === server);
    const shared = own.length === 0 ? undefined : await readSharedAddress(store, server);
    documents.push({
      server,
      ...(alone ? { alone: true } : {}),
      ...(firewall === undefined ? {} : { firewall }),
      ...(shared === undefined ? {} : { shared }),
      ...(tunnel === undefined ? {} : { tunnel, controllers, watch: watchedBy(server) }),
      nodes: (nodesOf.get(server) ?? []).flatMap(({ name, sitesOf, generation, address, state }) =>
        address === null
          ? []
          : [{ name, pool: generationKey(sitesOf, generation), address, wanted: state !== 'draining' }],
      ),
      trustedProxies,
      edges: own.map((one) => one.name),
    });
  }
  return documents;
}
