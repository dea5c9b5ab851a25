// Takes an edge away, when another one is there. The shared address is passed on before the container goes. One that failed half
// way is shown as `deleting`, and deleted by the same command again.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import { releaseAddresses } from '../servers/addresses.ts';
import { takeConfigVersion } from '../servers/config-clock.ts';
import { isOutOfReach } from '../servers/store.ts';
import { AGENT_CALL_MS, type EdgeParts } from './create.ts';
import { passAddressOn, standByAgain } from './pass-on.ts';
import { edgeProblems } from './problems.ts';
import { deleteEdge, edgeLock, listEdges, readEdge, storeEdgeState } from './store.ts';

const paramsSchema = z.object({ edge: z.string(), server: z.string().nullable() });
type Params = z.infer<typeof paramsSchema>;

/** Begins `edge.delete`, or says why not. */
export async function startEdgeDelete(parts: EdgeParts, name: string, who: Asker): Promise<Operation> {
  return await parts.store.transaction(async (sql) => {
    const edge = await readEdge(sql, name);
    if (edge === undefined) throw commonProblems.make('not-found', { noun: 'edge', name });
    const others = (await listEdges(sql)).filter((other) => other.name !== name && other.state === 'ready');
    if (others.length === 0) throw edgeProblems.make('last', { edge: name });
    return await parts.operations.start(sql, 'edge.delete', { edge: name, server: edge.server }, who);
  });
}

/** The operation `edge.delete`. */
export function makeEdgeDelete(parts: EdgeParts): OperationKind<Params> {
  const { store, fleet, agents, events } = parts;
  return makeOperation<Params>({
    kind: 'edge.delete',
    params: paramsSchema,
    locks: ({ edge }) => [edgeLock(edge)],
    title: ({ edge }) => `Delete the edge ${edge}`,
    steps: ({ edge, server }) => [
      {
        name: 'pass-on',
        timeoutMs: 90_000,
        async do({ signal }) {
          if (server !== null && agents.connected().includes(server)) await passAddressOn(parts, server, signal);
        },
        async undo() {
          if (server !== null) await standByAgain(parts, server);
        },
      },
      {
        name: 'withdraw',
        timeoutMs: 30_000,
        async do({ signal }) {
          await store.transaction(async (sql) => {
            await takeConfigVersion(sql);
            await storeEdgeState(sql, edge, 'deleting', 'a person deletes it');
          });
          // An agent that is away hears it when it is back; the container goes all the same.
          if (server !== null && agents.connected().includes(server))
            await agents.call(server, 'server.sync', {}, { timeoutMs: AGENT_CALL_MS, signal });
          await parts.sync(signal).catch(() => undefined);
        },
      },
      {
        name: 'container',
        timeoutMs: 120_000,
        async do({ signal, say }) {
          if (await isOutOfReach(store, server)) return say(`its container stays until ${server} is back and cleaned`);
          await fleet.instances.delete(edge, { force: true, signal });
        },
      },
      {
        name: 'forget',
        timeoutMs: 30_000,
        async do({ signal }) {
          await store.transaction(async (sql) => {
            await deleteEdge(sql, edge);
            await releaseAddresses(sql, edge);
            await events.append(sql, { kind: 'edge.deleted', subject: edgeLock(edge), by: 'operation' });
          });
          if (server !== null && agents.connected().includes(server))
            await agents.call(server, 'edge.forget', { edge }, { timeoutMs: AGENT_CALL_MS, signal });
          await parts.sync(signal).catch(() => undefined);
        },
      },
    ],
  });
}
