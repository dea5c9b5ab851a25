// Gives the edges an address that they share, another one, or none. First the agents hear of it, then the containers get their
// doors there; it is done when one of the edges holds it.
import { z } from 'zod';
import { toNumber } from '../lib/ipv4.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { listServers } from '../servers/store.ts';
import { AGENT_CALL_MS, type EdgeParts, shapeEdge } from './create.ts';
import { edgeProblems } from './problems.ts';
import { type EdgeAddressRow, listEdges, listLastingEdges, readEdgeAddress, storeEdgeAddress } from './store.ts';

export const SHARE_LOCK = 'edge-address';
/** Without any edge whose port could be asked for. */
const HTTP_PORT = 80;

const rowSchema = z.object({
  address: z.ipv4(),
  httpPort: z.int().min(1).max(65_535),
  httpsPort: z.int().min(1).max(65_535),
  routerId: z.int().min(1).max(255),
});

/** `before`: what an undo goes back to. */
const paramsSchema = z.object({ wanted: rowSchema.nullable(), before: rowSchema.nullable() });
type Params = z.infer<typeof paramsSchema>;

export const shareWishSchema = z.strictObject({
  /** In the network of the servers, and nobody's yet. */
  address: z.ipv4(),
  /** By default that of the sites' own addresses: apps lead visitors there. */
  httpPort: z.int().min(1).max(65_535).optional(),
  httpsPort: z.int().min(1).max(65_535).default(443),
  /** Of VRRP, 1 to 255: another one where other routers of that network have it. By default it follows from the address. */
  routerId: z.int().min(1).max(255).optional(),
});
export type ShareWish = z.infer<typeof shareWishSchema>;

/** Addresses of one network mostly differ in their last byte. */
const routerIdOf = (address: string): number => (toNumber(address) % 255) + 1;

/** The wish with what it leaves open. */
export async function completeShare(sql: Sql, wish: ShareWish): Promise<EdgeAddressRow> {
  const [first] = await listLastingEdges(sql);
  const httpPort = wish.httpPort ?? (Number(first?.listen.split(':').at(-1)) || HTTP_PORT);
  return { ...wish, httpPort, routerId: wish.routerId ?? routerIdOf(wish.address) };
}

/** Begins `edge.share`; `wish` null takes the address away. */
export async function startEdgeShare(parts: EdgeParts, wish: ShareWish | null, who: Asker): Promise<Operation> {
  return await parts.store.transaction(async (sql) => {
    if (wish !== null) await assertFree(sql, wish.address);
    const before = (await readEdgeAddress(sql)) ?? null;
    const wanted = wish === null ? null : await completeShare(sql, wish);
    return await parts.operations.start(sql, 'edge.share', { wanted, before }, who);
  });
}

/** An address that a server has would be taken from it by each change of the holder. */
async function assertFree(sql: Sql, address: string): Promise<void> {
  const owner = (await listServers(sql)).find((server) => server.address === address);
  if (owner !== undefined) throw edgeProblems.make('address-taken', { address, server: owner.name });
}

/** The operation `edge.share`. */
export function makeEdgeShare(parts: EdgeParts): OperationKind<Params> {
  const { store, agents, events } = parts;

  /** Stores it and tells the agents of all edges: they bring up or take down what holds it. */
  async function tell(row: EdgeAddressRow | null, signal: AbortSignal): Promise<void> {
    await changeConfig(store, (sql) => storeEdgeAddress(sql, row ?? undefined));
    const servers = new Set((await listEdges(store)).flatMap(({ server }) => (server === null ? [] : [server])));
    for (const server of servers) await agents.call(server, 'server.sync', {}, { timeoutMs: AGENT_CALL_MS, signal });
  }

  async function shapeAll(signal: AbortSignal): Promise<void> {
    for (const { name, state } of await listLastingEdges(store))
      if (state !== 'creating') await shapeEdge(parts, name, signal);
  }

  return makeOperation<Params>({
    kind: 'edge.share',
    params: paramsSchema,
    locks: () => [SHARE_LOCK],
    title: ({ wanted }) => (wanted === null ? 'Take the shared address away' : `Share the address ${wanted.address}`),
    steps: ({ wanted, before }) => [
      {
        name: 'tell',
        timeoutMs: 60_000,
        do: ({ signal }) => tell(wanted, signal),
        undo: ({ signal }) => tell(before, signal),
      },
      {
        name: 'doors',
        timeoutMs: 120_000,
        do: ({ signal }) => shapeAll(signal),
        async undo({ signal }) {
          await changeConfig(store, (sql) => storeEdgeAddress(sql, before ?? undefined));
          await shapeAll(signal);
        },
      },
      {
        name: 'hold',
        timeoutMs: 60_000,
        async do() {
          const edges = await listEdges(store);
          const holder = edges.find(({ holds }) => holds);
          if (wanted !== null && holder === undefined)
            throw edgeProblems.make('nobody-holds', { address: wanted.address });
          await store.transaction(async (sql) => {
            const kind = wanted === null ? 'edge.address-removed' : 'edge.address-shared';
            await events.append(sql, { kind, subject: SHARE_LOCK, by: 'operation' });
          });
          return { address: wanted?.address ?? null, holder: holder?.name ?? null };
        },
      },
    ],
  });
}
