// The address that edges share: what the agents of their servers must know to pass it on among themselves, and who holds it, as
// they say. The passing itself needs no controller. Decided in docs/decisions/0071-the-shared-address.md.
import type { Events } from '../platform/events.ts';
import type { Sql, Store } from '../platform/store.ts';
import type { SharedAddress } from '../protocol/contract.ts';
import { listServers } from '../servers/store.ts';
import { type EdgeRow, edgeLock, listEdges, listLastingEdges, readEdgeAddress, storeHolds } from './store.ts';

/** The edges of other servers that can have the address when this server's shall not. */
export async function listHeirs(sql: Sql, server: string): Promise<EdgeRow[]> {
  const ready = new Set((await listServers(sql)).filter(({ state }) => state === 'ready').map(({ name }) => name));
  return (await listEdges(sql)).filter(
    (edge) => edge.server !== server && ready.has(edge.server ?? '') && edge.state === 'ready' && !edge.yields,
  );
}

/** What one server must know of it; undefined where no edge is, or no address is shared. */
export async function readSharedAddress(sql: Sql, server: string): Promise<SharedAddress | undefined> {
  const row = await readEdgeAddress(sql);
  if (row === undefined) return undefined;
  const edges = (await listLastingEdges(sql)).filter((edge) => edge.server !== null && edge.address !== null);
  const own = edges.findIndex((edge) => edge.server === server);
  const edge = edges[own];
  if (edge?.address == null) return undefined;
  if (edge.yields && (await listHeirs(sql, server)).length > 0) return undefined;
  const addressOf = new Map((await listServers(sql)).map(({ name, address }) => [name, address]));
  const peers = edges.flatMap((other) => {
    const address = other.server === server ? undefined : addressOf.get(other.server ?? '');
    return address === undefined ? [] : [address];
  });
  return {
    ...{ address: row.address, routerId: row.routerId, edge: edge.address },
    ...{ own: addressOf.get(server) ?? '', peers: [...new Set(peers)].sort() },
    // Different ones, so that two that begin at once do not both win.
    priority: 200 - own,
  };
}

/** Keeps what a server says of the addresses that it has; the edge there holds the shared one, or does not. */
export async function noteHolder(
  parts: { store: Store; events: Events },
  server: string,
  addresses: readonly string[],
): Promise<void> {
  const { store, events } = parts;
  const row = await readEdgeAddress(store);
  const holds = row !== undefined && addresses.includes(row.address);
  const [before] = (await listEdges(store)).filter((edge) => edge.server === server && edge.holds !== holds);
  if (before === undefined) return;
  await store.transaction(async (sql) => {
    if (!(await storeHolds(sql, before.name, holds))) return;
    const what = row?.address ?? 'the shared address';
    const reason = holds ? `${server} has ${what}: visitors come here` : `${server} does not have ${what} any more`;
    const kind = holds ? 'edge.holds' : 'edge.holds-no-more';
    await events.append(sql, { kind, subject: edgeLock(before.name), by: `agent:${server}`, reason });
  });
}
