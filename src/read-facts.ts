// What a server must know of the rooms above it: which containers others ask, and where doors are. Part of the composition root,
// since it looks across rooms.
import { listControllers } from './controllers/store.ts';
import { listLastingEdges, readEdgeAddress } from './edge/store.ts';
import type { Sql } from './platform/store.ts';
import type { FirewallFacts } from './servers/firewall.ts';
import { listServices } from './services/store.ts';

export async function readFacts(sql: Sql): Promise<FirewallFacts> {
  const addressesOf = async (noun: 'database' | 'cache') =>
    (await listServices(sql, noun)).flatMap(({ address }) => (address === null ? [] : [address]));
  const shared = await readEdgeAddress(sql);
  return {
    databases: await addressesOf('database'),
    caches: await addressesOf('cache'),
    edges: (await listLastingEdges(sql)).flatMap(({ server, address }) =>
      server === null || address === null ? [] : [{ server, address }],
    ),
    visits: shared === undefined ? [] : [shared.httpPort, shared.httpsPort],
    controllers: (await listControllers(sql)).flatMap(({ name, address }) => (address === null ? [] : [name])),
  };
}
