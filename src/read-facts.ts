// What a server must know of the rooms above it: which containers others ask, and where doors are. Part of the composition root,
// since it looks across rooms.
import { listControllers } from './controllers/store.ts';
import { listLastingEdges, readEdgeAddress } from './edge/store.ts';
import type { Sql } from './platform/store.ts';
import { listAddressesFrom, readAddressesOf } from './servers/addresses.ts';
import type { FirewallFacts } from './servers/firewall.ts';
import { nextInstance } from './services/homes.ts';
import { listServices } from './services/store.ts';
import { carrierOf } from './sites/carriers.ts';

/** The port of a door on the server, unless only the server itself can reach it. */
function toOpenPort(listen: string): number[] {
  const [address = '', port] = listen.split(':');
  return address.startsWith('127.') ? [] : [Number(port)];
}

export async function readFacts(sql: Sql): Promise<FirewallFacts> {
  // Also where one will live that is on its way: sites ask there at once when it has arrived.
  const addressesOf = async (noun: 'database' | 'cache') => {
    const homes = (await listServices(sql, noun)).flatMap(({ instance }) => [instance, nextInstance(instance)]);
    return [...(await readAddressesOf(sql, homes)).values()].sort();
  };
  const shared = await readEdgeAddress(sql);
  const edges = await listLastingEdges(sql);
  return {
    databases: await addressesOf('database'),
    caches: await addressesOf('cache'),
    carriers: await listAddressesFrom(sql, carrierOf('')),
    edges: edges.flatMap(({ server, address }) => (server === null || address === null ? [] : [{ server, address }])),
    visits: [
      ...edges.flatMap(({ listen }) => toOpenPort(listen)),
      ...(shared === undefined ? [] : [shared.httpPort, shared.httpsPort]),
    ],
    controllers: (await listControllers(sql)).flatMap(({ name, address }) => (address === null ? [] : [name])),
  };
}
