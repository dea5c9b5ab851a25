// Takes a server out of the cluster: from then on its agent is not let in, its engine is no member, and its addresses are
// free. Only an empty one; what lives on a server is moved or removed first, or its server has been lost for good.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { releaseAddresses, releaseBlocks } from './addresses.ts';
import { revokeCertificates, storeFirstServer } from './cluster-store.ts';
import { deleteFirewallChoice } from './firewall.ts';
import { readLedCluster } from './join.ts';
import { fenceLock, serverLock } from './locks.ts';
import type { ClusterParts } from './make-cluster.ts';
import { serverProblems } from './problems.ts';
import { deleteServer, readServer } from './store.ts';
import { innerOf } from './tunnel.ts';

const paramsSchema = z.object({ server: z.string() });
type Params = z.infer<typeof paramsSchema>;

export interface RemoveParts extends ClusterParts {
  /** What lives on a server, in words: `the node shop-1`. */
  listTenants(sql: Sql, server: string): Promise<string[]>;
  /** Ends the connection of a server's agent. */
  dropAgent(server: string): void;
}

/** Begins `server.remove`, or says what stands in its way. */
export async function startServerRemove(parts: RemoveParts, server: string, who: Asker): Promise<Operation> {
  return await parts.store.transaction(async (sql) => {
    if ((await readServer(sql, server)) === undefined)
      throw commonProblems.make('not-found', { noun: 'server', name: server });
    const led = await readLedCluster(parts, sql);
    if (led.server === server) throw serverProblems.make('has-controller', { server });
    await assertEmpty(parts, sql, server);
    return await parts.operations.start(sql, 'server.remove', { server }, who);
  });
}

async function assertEmpty(parts: RemoveParts, sql: Sql, server: string): Promise<void> {
  const tenants = await parts.listTenants(sql, server);
  if (tenants.length > 0) throw serverProblems.make('not-empty', { server, tenants: tenants.join(', ') });
}

/** The operation `server.remove`. A removal that failed is begun again; what was revoked stays revoked. */
export function makeServerRemove(parts: RemoveParts): OperationKind<Params> {
  const { store, fleet, events } = parts;
  return makeOperation<Params>({
    kind: 'server.remove',
    params: paramsSchema,
    // What is being removed is not fenced meanwhile.
    locks: ({ server }) => [serverLock(server), fenceLock(server)],
    title: ({ server }) => `Remove the server ${server}`,
    steps: ({ server }) => [
      {
        name: 'revoke',
        timeoutMs: 10_000,
        async do() {
          await store.transaction(async (sql) => {
            await assertEmpty(parts, sql, server);
            await revokeCertificates(sql, server);
            // Nothing is placed on it any more.
            await sql.query(`UPDATE server SET state = 'fenced', reason = 'it is being removed' WHERE name = $1`, [
              server,
            ]);
          });
          parts.dropAgent(server);
        },
      },
      {
        name: 'engine',
        timeoutMs: 120_000,
        async do({ signal }) {
          const member = (await fleet.servers({ signal })).find(({ name }) => name === server);
          if (member === undefined) return;
          await fleet.cluster.remove(server, { force: member.status === 'offline', signal });
        },
      },
      {
        name: 'forget',
        timeoutMs: 10_000,
        async do() {
          await store.transaction(async (sql) => {
            await releaseAddresses(sql, innerOf(server));
            await releaseBlocks(sql, server);
            await deleteFirewallChoice(sql, server);
            // The first one goes only when another has taken over from it.
            await storeFirstServer(sql, server, await readLedCluster(parts, sql));
            await deleteServer(sql, server);
            await events.append(sql, { kind: 'server.removed', subject: serverLock(server), by: 'operation' });
          });
        },
      },
    ],
  });
}
