// Fences a server that is gone, or only seems so: it is kept from every database, cache and edge before anything of it is made
// anew. Frozen or cut off and alive, it can then write nothing any more, whenever it goes on. Each step may be done again, and
// none is undone: a fence that failed half way is begun again (watch.ts). Decided in docs/decisions/0064-a-fence-is-a-firewall.md.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import type { Events } from '../platform/events.ts';
import {
  type Asker,
  makeOperation,
  type Operation,
  type OperationKind,
  type Operations,
} from '../platform/operations/operation.ts';
import { rehearse } from '../platform/rehearse.ts';
import type { Sql, Store } from '../platform/store.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import { BLOCK_PREFIX, listBlocks } from './addresses.ts';
import { changeConfig } from './config-clock.ts';
import { fenceLock, serverLock } from './locks.ts';
import { serverProblems } from './problems.ts';
import { listApart, readServer, storeFenceUp, storeServerState } from './store.ts';

const paramsSchema = z.object({ server: z.string(), why: z.string() });
type Params = z.infer<typeof paramsSchema>;

const AGENT_CALL_MS = 20_000;
/** A database server that is away holds the fence up, and says so; nothing is made anew meanwhile. */
const FENCE_MS = 3_600_000;

export interface FenceParts {
  store: Store;
  operations: Operations;
  events: Events;
  agents: AgentPort;
  /** Ends the connection of a server's agent. */
  dropAgent(server: string): void;
  /** From now on the edges send its nodes no visitors. */
  takeOut(sql: Sql, server: string, reason: string): Promise<void>;
  /** Which servers carry databases and caches; `what` in words. */
  listCarriers(sql: Sql): Promise<{ server: string; what: string }[]>;
  /** Ends every session from these networks at the databases and caches that do not lie on `apart`; gives what it left out. */
  endSessions(
    from: { networks: readonly string[]; apart: ReadonlySet<string> },
    signal: AbortSignal,
  ): Promise<string[]>;
  /** The server whose controller decides now; undefined while there is one server alone. */
  readLeadingServer(sql: Sql): Promise<string | undefined>;
  syncEdges(signal: AbortSignal): Promise<unknown>;
  /** Forgets its nodes that can be made elsewhere; `left`: what cannot, with the reason. */
  abandon(sql: Sql, server: string): Promise<{ nodes: string[]; left: string[] }>;
  wakeHeal(): void;
}

/** Begins `server.fence` for a person who knows that the server is gone: the second witness. */
export async function startServerFence(parts: FenceParts, server: string, who: Asker): Promise<Operation> {
  return await parts.store.transaction(async (sql) => {
    const row = await readServer(sql, server);
    if (row === undefined) throw commonProblems.make('not-found', { noun: 'server', name: server });
    if ((await parts.readLeadingServer(sql)) === server) throw serverProblems.make('has-controller', { server });
    if (row.state !== 'lost') throw serverProblems.make('not-lost', { server, state: row.state });
    const why = who.reason ?? `${who.by} says that it is gone`;
    return await parts.operations.start(sql, 'server.fence', { server, why }, { ...who, reason: why });
  });
}

/** What a fence would do now; the same that its last step does, taken back. */
export async function planServerFence(parts: FenceParts, server: string): Promise<{ plan: string[] }> {
  const { nodes, left } = await rehearse(parts.store, (sql) => parts.abandon(sql, server));
  return {
    plan: [
      `Every database and cache refuses the addresses of ${server}, its sessions are ended, and the edges send it nobody.`,
      nodes.length === 0 ? 'It has no node.' : `Made anew elsewhere: ${nodes.join(', ')}.`,
      ...left.map((what) => `Away until ${server} is back: ${what}.`),
    ],
  };
}

/** The operation `server.fence`. */
export function makeServerFence(parts: FenceParts): OperationKind<Params> {
  const { store, agents, events } = parts;

  /** False when it was heard again before anything was done. */
  const isFenced = async (server: string) => (await readServer(store, server))?.state === 'fenced';

  return makeOperation<Params>({
    kind: 'server.fence',
    params: paramsSchema,
    locks: ({ server }) => [fenceLock(server)],
    urgent: true,
    title: ({ server }) => `Fence the server ${server}`,
    steps: ({ server, why }) => [
      {
        name: 'mark',
        timeoutMs: 30_000,
        async do({ say, operationId }) {
          const by = `operation:${operationId}`;
          await changeConfig(store, async (sql) => {
            const before = await readServer(sql, server);
            if (before?.state === 'lost' && (await storeServerState(sql, server, 'fenced', why)))
              await events.append(sql, { kind: 'server.fencing', subject: serverLock(server), by, reason: why });
            else if (before?.state !== 'fenced') return;
            await parts.takeOut(sql, server, `${server} is fenced: ${why}`);
          });
          if (await isFenced(server)) parts.dropAgent(server);
          else say('it was heard again; nothing is done');
        },
      },
      {
        name: 'firewall',
        timeoutMs: FENCE_MS,
        async do({ signal, say }) {
          if (!(await isFenced(server))) return;
          const apart = await listApart(store);
          const carriers = Map.groupBy(await parts.listCarriers(store), (one) => one.server);
          for (const [carrier, carried] of carriers) {
            if (carrier === server || !apart.has(carrier)) continue;
            say(
              `${carried.map(({ what }) => what).join(', ')} on ${carrier}: out of everybody's reach, like ${server}`,
            );
          }
          const reached = [...carriers.keys()].filter((carrier) => !apart.has(carrier));
          const call = { timeoutMs: AGENT_CALL_MS, signal };
          await Promise.all(
            reached.map((carrier) => agents.call(carrier, 'server.fence', { servers: [server] }, call)),
          );
          return { at: reached };
        },
      },
      {
        // What was on its way already, and transactions that it left open.
        name: 'sessions',
        timeoutMs: FENCE_MS,
        async do({ signal, say }) {
          if (!(await isFenced(server))) return;
          const blocks = await listBlocks(store, server);
          const networks = blocks.map(({ first }) => `${first}/${BLOCK_PREFIX}`);
          for (const line of await parts.endSessions({ networks, apart: await listApart(store) }, signal)) say(line);
          return { networks };
        },
      },
      {
        name: 'edges',
        timeoutMs: FENCE_MS,
        async do({ signal }) {
          if (await isFenced(server)) await parts.syncEdges(signal);
        },
      },
      {
        name: 'abandon',
        timeoutMs: 60_000,
        async do({ operationId }) {
          const by = `operation:${operationId}`;
          const outcome = await changeConfig(store, async (sql) => {
            const row = await readServer(sql, server);
            if (row?.state !== 'fenced') return undefined;
            const { nodes, left } = await parts.abandon(sql, server);
            const all = [...new Set([...row.left, ...left])];
            await storeFenceUp(sql, server, all);
            if (row.isFenceUp) return { nodes, left: all };
            const data = { nodes, left: all };
            await events.append(sql, { kind: 'server.fenced', subject: serverLock(server), by, reason: why, data });
            return data;
          });
          parts.wakeHeal();
          return outcome ?? null;
        },
      },
    ],
  });
}
