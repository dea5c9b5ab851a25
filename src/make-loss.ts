// What the loss of a server means for every room, put together: who is kept from what, what is made anew, what is removed. Part
// of the composition root, since the servers' room knows none of the others.
import type { Caches } from './caches/caches.ts';
import { readLeadingServer } from './controllers/store.ts';
import type { Databases } from './databases/databases.ts';
import { removeLeftoverEdges } from './edge/leftovers.ts';
import { type EdgeRow, listLastingEdges, readEdgeAddress } from './edge/store.ts';
import type { Sql } from './platform/store.ts';
import { abandonNodes, removeLeftoverNodes, takeInNodes, takeOutNodes } from './pools/lose-server.ts';
import type { PoolParts } from './pools/parts.ts';
import type { CleanParts } from './servers/clean.ts';
import type { FenceParts } from './servers/fence.ts';
import type { Hearing } from './servers/hearing.ts';
import { listServers, type ServerState } from './servers/store.ts';
import type { WatchParts } from './servers/watch.ts';
import type { Witnesses } from './servers/witnesses.ts';
import { listServices } from './services/store.ts';

export type LossParts = FenceParts & CleanParts & WatchParts;

/** Operations at once: most of the time they wait for a server, and so many of each do it no harm. */
const OPERATIONS_A_SERVER = 4;
const LEAST_OPERATIONS = 8;
/** More wait for the store rather than for servers, and everything else, heartbeats too, waits behind them. */
const MOST_OPERATIONS = 256;
/** The engine answers slowly while one of its members is away. */
const OFFLINE_MS = 5_000;
const HEARD: ReadonlySet<ServerState> = new Set(['ready', 'draining']);

export function makeLoss(given: {
  pools: PoolParts;
  databases: Databases;
  caches: Caches;
  witnesses: Witnesses;
  hearing: Hearing;
  dropAgent(server: string): void;
  /** How many operations run at once from now on. */
  setConcurrency(count: number): void;
}): LossParts {
  const { pools, databases, caches, witnesses, hearing, dropAgent, setConcurrency } = given;
  const { store, operations, events, agents, fleet, clock, syncEdges, wakeHeal } = pools;
  const listCarried = async (sql: Sql): Promise<{ server: string; what: string; why: string }[]> => {
    const services = [
      ...(await listServices(sql, 'database')).map((row) => ({ ...row, noun: 'database' })),
      ...(await listServices(sql, 'cache')).map((row) => ({ ...row, noun: 'cache' })),
    ];
    return services.flatMap(({ server, name, noun }) =>
      server === null ? [] : [{ server, what: `the ${noun} server ${name}`, why: 'its data lies there' }],
    );
  };
  return {
    ...{
      store,
      operations,
      events,
      agents,
      clock,
      witnesses,
      hearing,
      dropAgent,
      syncEdges,
      wakeHeal,
      readLeadingServer,
    },
    async readOffline(signal) {
      const servers = await fleet.servers({ signal, timeoutMs: OFFLINE_MS });
      return new Set(servers.filter(({ status }) => status === 'offline').map(({ name }) => name));
    },
    noteReady: (count) =>
      setConcurrency(Math.min(MOST_OPERATIONS, Math.max(LEAST_OPERATIONS, count * OPERATIONS_A_SERVER))),
    takeOut: takeOutNodes,
    listCarriers: listCarried,
    async endSessions(from, signal) {
      const said = await Promise.all([databases, caches].map((service) => service.endSessions(from, signal)));
      return said.flat();
    },
    async abandon(sql, server) {
      const { nodes, left } = await abandonNodes(pools, sql, server);
      const services = (await listCarried(sql)).filter((one) => one.server === server);
      const edges = await listLoneEdges(sql, server);
      return {
        nodes,
        left: [
          ...services.map(({ what, why }) => `${what}: ${why}`),
          ...edges.map(({ name }) => `the edge ${name}: its door is an address of that server`),
          ...left,
        ],
      };
    },
    removeLeftovers: async (server, signal) => [
      ...(await removeLeftoverNodes(pools, server, signal)),
      ...(await removeLeftoverEdges(pools, server, signal)),
    ],
    takeIn: takeInNodes,
  };
}

/** The edges of a server for which no other answers: where they share an address, any that serves elsewhere does. */
async function listLoneEdges(sql: Sql, server: string): Promise<EdgeRow[]> {
  const edges = await listLastingEdges(sql);
  const heard = new Set((await listServers(sql)).flatMap(({ name, state }) => (HEARD.has(state) ? [name] : [])));
  const answers = edges.some((one) => one.state === 'ready' && one.server !== server && heard.has(one.server ?? ''));
  if (answers && (await readEdgeAddress(sql)) !== undefined) return [];
  return edges.filter((one) => one.server === server);
}
