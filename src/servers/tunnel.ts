// What each server must know so that its containers reach those of the others: addresses, and blocks as routes. And telling
// the agents when that changed. Decided in docs/decisions/0061-routes-over-vxlan.md.
import { toRange } from '../lib/ipv4.ts';
import type { Sql, Store } from '../platform/store.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import type { Tunnel } from '../protocol/contract.ts';
import { allocateAddress, BLOCK_PREFIX, bridgeAddress, listBlocks, readAddressesOf } from './addresses.ts';
import { readCluster } from './cluster-store.ts';
import { isApart, listServers, type ServerRow } from './store.ts';

const SYNC_TIMEOUT_MS = 10_000;
/** Somebody waits for it. */
const TELL_NOW_MS = 3_000;
/** A VXLAN's number has 24 bits; a network of ours begins at a multiple of 4,096. */
const NUMBERS = 2 ** 24;

/** The server itself as an instance that has an address. */
export const innerOf = (server: string): string => `server:${server}`;

/**
 * The tunnels of servers, each made when it is asked for; undefined while the deployment is one server, or has no network yet.
 * Servers without an address of their own get one. Read once for all that ask together: of a thousand, each knows all the others.
 */
export async function readTunnels(
  sql: Sql,
  network: { cidr: string | undefined; bridge: string },
  servers: readonly ServerRow[],
): Promise<(server: string) => Tunnel | undefined> {
  const { cidr, bridge } = network;
  if (cidr === undefined || (await readCluster(sql)) === undefined) return () => undefined;
  const known = servers.filter(({ state }) => !isApart(state));
  const given = await readAddressesOf(
    sql,
    known.map(({ name }) => innerOf(name)),
  );
  for (const { name } of known) {
    const instance = innerOf(name);
    if (!given.has(instance)) given.set(instance, await allocateAddress(sql, cidr, { instance, server: name }));
  }
  // After the addresses, which may have taken some.
  const networks = Map.groupBy(await listBlocks(sql), (block) => block.server);
  const peers: Tunnel['peers'] = known.map(({ name, address }) => ({
    ...{ server: name, address, inner: given.get(innerOf(name)) ?? '' },
    networks: (networks.get(name) ?? []).map(({ first }) => `${first}/${BLOCK_PREFIX}`),
  }));
  const id = Math.floor(toRange(cidr).first / 16) % NUMBERS;
  return (server) => {
    const own = peers.find((peer) => peer.server === server);
    if (own === undefined) return undefined;
    const { address, inner } = own;
    return { bridge, id, address, inner, peers: peers.filter((peer) => peer !== own) };
  };
}

/**
 * From which addresses controllers come to a container on that server: its own bridge's, or through the tunnel.
 * `controllers`: the servers that have one; the cluster's first is one of them in any case.
 */
export async function readControllerHosts(
  sql: Sql,
  cidr: string,
  server: string,
  controllers: readonly string[],
): Promise<string[]> {
  const cluster = await readCluster(sql);
  if (cluster === undefined) return [bridgeAddress(cidr)];
  const hosts: string[] = [];
  for (const name of new Set([cluster.server, ...controllers])) {
    const isHere = name === server;
    hosts.push(
      isHere ? bridgeAddress(cidr) : await allocateAddress(sql, cidr, { instance: innerOf(name), server: name }),
    );
  }
  return hosts;
}

/** Tells all agents now: a server that was just let in finds the others' ports open. One that fails hears it from the loop. */
export async function tellServers(agents: AgentPort): Promise<void> {
  const tell = (server: string) => agents.call(server, 'server.sync', {}, { timeoutMs: TELL_NOW_MS });
  await Promise.allSettled(agents.connected().map(tell));
}

/**
 * Tells the agents that have not heard of the latest change: wrong is that servers, their blocks, or what `readMore` gives (of the
 * rooms above) are others than those an agent was told of. What was told is remembered for as long as this process lives;
 * telling twice does no harm.
 */
export function makeNetworkTeller(
  store: Store,
  agents: AgentPort,
  readMore: (sql: Sql) => Promise<unknown> = async () => null,
): (signal: AbortSignal) => Promise<{ told: number }> {
  const toldTo = new Map<string, string>();
  return async (signal) => {
    const servers = (await listServers(store)).map(({ name, address, state }) => [name, address, isApart(state)]);
    const now = JSON.stringify([servers, await listBlocks(store), await readMore(store)]);
    const late = agents.connected().filter((server) => toldTo.get(server) !== now);
    await Promise.all(
      late.map(async (server) => {
        await agents.call(server, 'server.sync', {}, { timeoutMs: SYNC_TIMEOUT_MS, signal });
        toldTo.set(server, now);
      }),
    );
    return { told: late.length };
  };
}
