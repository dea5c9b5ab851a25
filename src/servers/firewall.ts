// The firewall of the servers: what a person chose for each, and what an agent is told of it. The rules themselves are
// engines/nftables/rules.ts's. Decided in docs/decisions/0072-two-tables-of-our-own.md.
import type { Sql } from '../platform/store.ts';
import type { Firewall } from '../protocol/contract.ts';
import { listAddressesFrom, networkOf } from './addresses.ts';
import { readCluster } from './cluster-store.ts';
import type { ServerRow } from './store.ts';
import { innerOf } from './tunnel.ts';

/** off: no rule of ours. ours: our own ports and containers. strict: nothing else is reachable either. */
export type FirewallMode = 'off' | 'ours' | 'strict';

/** The table `server_firewall`: this file's alone. */
export interface FirewallChoice {
  server: string;
  mode: FirewallMode;
  allow: string[];
}

const UNCHOSEN = { mode: 'ours', allow: [] } as const;

export async function readFirewallChoice(sql: Sql, server: string): Promise<FirewallChoice> {
  const [row] = await sql.query<FirewallChoice>('SELECT server, mode, allow FROM server_firewall WHERE server = $1', [
    server,
  ]);
  return row ?? { server, mode: UNCHOSEN.mode, allow: [...UNCHOSEN.allow] };
}

/** Of servers for which a person chose something. */
export async function listFirewallChoices(sql: Sql): Promise<FirewallChoice[]> {
  return await sql.query('SELECT server, mode, allow FROM server_firewall ORDER BY server');
}

export async function storeFirewallChoice(sql: Sql, { server, mode, allow }: FirewallChoice): Promise<void> {
  await sql.query(
    `INSERT INTO server_firewall (server, mode, allow) VALUES ($1, $2, $3)
     ON CONFLICT (server) DO UPDATE SET mode = $2, allow = $3`,
    [server, mode, allow],
  );
}

export async function deleteFirewallChoice(sql: Sql, server: string): Promise<void> {
  await sql.query('DELETE FROM server_firewall WHERE server = $1', [server]);
}

/** What the rooms above know: containers that others ask, servers with edges, and the ports of their doors. */
export interface FirewallFacts {
  databases: readonly string[];
  caches: readonly string[];
  /** That carry files from one server to another. */
  carriers: readonly string[];
  edges: readonly { server: string; address: string }[];
  /** Ports at which edges can be asked from elsewhere: their own doors', and the shared address's. */
  visits: readonly number[];
  /** Servers that have a controller. */
  controllers: readonly string[];
}

/**
 * What the servers' agents are told, each made when it is asked for; undefined where it is switched off, and while there is one
 * server alone. `servers`: all. Also those that are fenced are members: they are still of the engine's cluster, and the tunnel lets nothing
 * of them in.
 */
export async function readFirewalls(
  sql: Sql,
  network: { cidr: string | undefined; bridge: string },
  servers: readonly Pick<ServerRow, 'name' | 'address'>[],
  facts: FirewallFacts,
): Promise<(server: string) => Firewall | undefined> {
  const cluster = await readCluster(sql);
  if (network.cidr === undefined || cluster === undefined) return () => undefined;
  const choices = new Map((await listFirewallChoices(sql)).map((choice) => [choice.server, choice]));
  const withEdges = new Set(facts.edges.map((edge) => edge.server));
  const sorted = (addresses: readonly string[]) => [...new Set(addresses)].filter((one) => one !== '').sort();
  const common = {
    ...{ bridge: network.bridge, network: networkOf(network.cidr) },
    members: sorted(servers.map(({ address }) => address)),
    routers: sorted(servers.flatMap(({ name, address }) => (withEdges.has(name) ? [address] : []))),
    // The servers' own addresses in the network.
    inners: sorted(await listAddressesFrom(sql, innerOf(''))),
    ...{ databases: sorted(facts.databases), caches: sorted(facts.caches), carriers: sorted(facts.carriers) },
    edges: sorted(facts.edges.map(({ address }) => address)),
  };
  return (server) => {
    const { mode, allow } = choices.get(server) ?? UNCHOSEN;
    if (mode === 'off') return undefined;
    const hasController = server === cluster.server || facts.controllers.includes(server);
    return {
      ...{ ...common, mode },
      doors: hasController ? [cluster.port] : [],
      visits: withEdges.has(server) ? [...facts.visits] : [],
      allow: mode === 'strict' ? [...allow] : [],
    };
  };
}
