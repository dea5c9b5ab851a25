// Makes the deployment on one server the first of a cluster: the engine opens itself to others, the shared folder gets its
// mark, and the controller its door for agents. Nothing is taken away again by a failure, since each part is good alone.
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { Operations } from '../platform/operations/operation.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import { type ClusterRow, readCluster, storeCluster } from './cluster-store.ts';
import type { JoinParts } from './join.ts';
import { serverProblems } from './problems.ts';
import { storeServerAddress } from './store.ts';

/** Where agents and joining machines reach the controller; where the engine's members reach each other. */
export const DEFAULT_AGENT_PORT = 7443;
const ENGINE_PORT = 8443;
export const CLUSTER_LOCK = 'cluster';

export const clusterWishSchema = z.object({
  /** This server's address in the network that the servers share. */
  address: z.ipv4(),
  port: z.int().min(1).max(65_535).default(DEFAULT_AGENT_PORT),
  /** A folder that every server sees under the same path; none: content stays on one server. */
  contentPath: z
    .string()
    .regex(/^\/[^\0\n]{1,200}$/, 'must be an absolute path')
    .optional(),
});
export type ClusterWish = z.infer<typeof clusterWishSchema>;

export interface ClusterParts extends JoinParts {
  operations: Operations;
  /** IPv4 addresses of this machine. */
  readAddresses(): string[];
  /** Writes the mark, or finds one: the id that is in force. Throws the file system's error. */
  writeMark(path: string, id: string): Promise<string>;
  /** Opens the door for agents as the stored row says; an open one is fine. */
  openDoor(row: ClusterRow): Promise<void>;
}

/** Begins `cluster.make`, or says why it cannot be. */
export async function startClusterMake(parts: ClusterParts, wish: ClusterWish, who: Asker): Promise<Operation> {
  const made = await readCluster(parts.store);
  if (made !== undefined) throw serverProblems.make('cluster-made', { address: made.address });
  if (!parts.readAddresses().includes(wish.address)) {
    throw serverProblems.make('address-elsewhere', { address: wish.address, known: parts.readAddresses().join(', ') });
  }
  return await parts.store.transaction((sql) => parts.operations.start(sql, 'cluster.make', wish, who));
}

/** The operation `cluster.make`. */
export function makeClusterMake(parts: ClusterParts): OperationKind<ClusterWish> {
  const { store, fleet, events } = parts;
  return makeOperation<ClusterWish>({
    kind: 'cluster.make',
    params: clusterWishSchema,
    locks: () => [CLUSTER_LOCK],
    title: ({ address }) => `Make a cluster at ${address}`,
    steps: ({ address, port, contentPath }) => [
      {
        name: 'content',
        timeoutMs: 30_000,
        async do() {
          if (contentPath === undefined) return null;
          try {
            return { id: await parts.writeMark(contentPath, randomUUID()) };
          } catch (thrown) {
            const why = thrown instanceof Error ? thrown.message : String(thrown);
            throw serverProblems.make('content-unusable', { path: contentPath, why }, thrown);
          }
        },
      },
      {
        name: 'engine',
        timeoutMs: 120_000,
        do: ({ signal }) => fleet.cluster.enable(`${address}:${ENGINE_PORT}`, { signal }),
      },
      {
        name: 'door',
        timeoutMs: 30_000,
        async do({ outputs, signal }) {
          const { id } = (outputs.content ?? {}) as { id?: string };
          const server = await fleet.localServer({ signal });
          const row: ClusterRow = {
            ...{ server, address, port },
            ...{ contentPath: contentPath ?? null, contentId: id ?? null },
          };
          await parts.openDoor(row);
          await store.transaction(async (sql) => {
            await storeCluster(sql, row);
            // Its agent, beside the controller, knows none.
            await storeServerAddress(sql, server, address);
            await events.append(sql, { kind: 'cluster.made', subject: CLUSTER_LOCK, by: 'operation' });
          });
        },
      },
    ],
  });
}
