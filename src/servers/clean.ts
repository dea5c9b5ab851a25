// Takes a server in again that was fenced and is heard: what was made anew elsewhere is removed from it before it is let to the
// databases and the edges. Apart from fencing, which may be long ago.
import { z } from 'zod';
import type { Events } from '../platform/events.ts';
import { makeOperation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql, Store } from '../platform/store.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import { changeConfig } from './config-clock.ts';
import { fenceLock, serverLock } from './locks.ts';
import { readServer, storeReturn, toWell } from './store.ts';

const paramsSchema = z.object({ server: z.string(), why: z.string() });
type Params = z.infer<typeof paramsSchema>;

const AGENT_CALL_MS = 20_000;
/** Its engine boots with it, and may be away for longer than its agent. */
const CLEAN_MS = 1_800_000;

export interface CleanParts {
  store: Store;
  events: Events;
  agents: AgentPort;
  /** Removes the containers on the server that have no place any more; gives their names. */
  removeLeftovers(server: string, signal: AbortSignal): Promise<string[]>;
  /** What was kept on it is open for visitors again. */
  takeIn(sql: Sql, server: string): Promise<void>;
  syncEdges(signal: AbortSignal): Promise<unknown>;
  wakeHeal(): void;
}

/** The operation `server.clean`. */
export function makeServerClean(parts: CleanParts): OperationKind<Params> {
  const { store, agents, events } = parts;
  return makeOperation<Params>({
    kind: 'server.clean',
    params: paramsSchema,
    locks: ({ server }) => [fenceLock(server)],
    urgent: true,
    title: ({ server }) => `Clean the server ${server}`,
    steps: ({ server }) => [
      {
        // Its agent lets go of what it must not run, before that is removed.
        name: 'tell',
        timeoutMs: CLEAN_MS,
        do: async ({ signal }) => agents.call(server, 'server.sync', {}, { timeoutMs: AGENT_CALL_MS, signal }),
      },
      {
        name: 'leftovers',
        timeoutMs: CLEAN_MS,
        do: async ({ signal }) => ({ removed: await parts.removeLeftovers(server, signal) }),
      },
      {
        name: 'open',
        timeoutMs: 60_000,
        async do({ signal, outputs, operationId }) {
          const { removed = [] } = (outputs.leftovers ?? {}) as { removed?: string[] };
          const by = `operation:${operationId}`;
          await changeConfig(store, async (sql) => {
            const row = await readServer(sql, server);
            const words =
              removed.length === 0 ? 'nothing was left on it' : `${removed.length} old containers were removed`;
            const reason = `it is back; ${words}`;
            if (row === undefined || !(await storeReturn(sql, server, { from: 'back', reason }))) return;
            await parts.takeIn(sql, server);
            await events.append(sql, { kind: `server.${toWell(row)}`, subject: serverLock(server), by, reason });
          });
          await agents.call(server, 'server.sync', {}, { timeoutMs: AGENT_CALL_MS, signal });
          await parts.syncEdges(signal);
          parts.wakeHeal();
        },
      },
    ],
  });
}
