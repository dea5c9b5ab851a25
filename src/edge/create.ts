// Makes an edge: a container of HAProxy whose directory its server's agent fills, with a door for visitors on the server.
import { z } from 'zod';
import type { Fleet } from '../engines/fleet.ts';
import type { Clock } from '../lib/clock.ts';
import { commonProblems } from '../lib/errors.ts';
import type { Events } from '../platform/events.ts';
import {
  type Asker,
  makeOperation,
  type Operation,
  type OperationKind,
  type Operations,
  type Step,
} from '../platform/operations/operation.ts';
import type { Sql, Store } from '../platform/store.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import { allocateAddress, releaseAddresses } from '../servers/addresses.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { choosePlacement } from '../servers/place.ts';
import { listServers } from '../servers/store.ts';
import { renderEdgeInstance } from './instance.ts';
import { edgeProblems } from './problems.ts';
import {
  deleteEdge,
  edgeLock,
  insertEdge,
  listEdges,
  readEdge,
  readEdgeAddress,
  storeEdgePlace,
  storeEdgeState,
  storeEdgeWish,
} from './store.ts';
import type { EdgeSync } from './sync.ts';

export interface EdgeParts {
  store: Store;
  operations: Operations;
  events: Events;
  fleet: Fleet;
  agents: AgentPort;
  clock: Clock;
  readCidr(): Promise<string>;
  /** The fingerprint of the edge's image. */
  readServiceImage(): Promise<string>;
  sync: EdgeSync;
}

/** `heal`: the edge exists and only its container is looked after, so nothing is taken back when that fails. */
const paramsSchema = z.object({ edge: z.string(), heal: z.boolean() });
type Params = z.infer<typeof paramsSchema>;

export const AGENT_CALL_MS = 20_000;
const EDGE_MEMORY_MB = 128;

/** Begins `edge.create` in the caller's transaction. `listen`: address and port on the server, such as `127.0.0.1:8080`. */
export async function startEdgeCreate(
  parts: EdgeParts,
  sql: Sql,
  wish: { name: string; listen: string },
  who: Asker,
): Promise<Operation> {
  await insertEdge(sql, { ...wish, reason: 'it is being created' });
  return parts.operations.start(sql, 'edge.create', { edge: wish.name, heal: false }, who);
}

export const newEdgeSchema = z.strictObject({
  /** By default `edge` and the next number. */
  name: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,38}$/)
    .optional(),
  /** By default the best of those that have none. */
  server: z.string().max(100).optional(),
  /** Address and port on its server where it can be asked there; by default that of the other edges. */
  listen: z
    .string()
    .regex(/^\d{1,3}(\.\d{1,3}){3}:\d{1,5}$/)
    .optional(),
});
export type NewEdge = z.infer<typeof newEdgeSchema>;

/** Begins the making of one more edge, or says why it cannot be: each is on a server of its own. */
export async function startEdgeAdd(parts: EdgeParts, wish: NewEdge, who: Asker): Promise<Operation> {
  return await parts.store.transaction(async (sql) => {
    const edges = await listEdges(sql);
    const [first] = edges;
    if (first === undefined) throw edgeProblems.make('none-yet', {});
    const ready = (await listServers(sql)).filter(({ state }) => state === 'ready').map(({ name }) => name);
    const free = ready.filter((name) => !edges.some(({ server }) => server === name));
    if (wish.server !== undefined && !free.includes(wish.server)) {
      const why = ready.includes(wish.server) ? 'it has an edge' : 'it is not a server that is ready';
      throw edgeProblems.make('not-there', { server: wish.server, why });
    }
    if (free.length === 0) throw edgeProblems.make('no-other-server', { edges: edges.length });
    let number = 1;
    while (edges.some(({ name }) => name === `edge${number}`)) number += 1;
    const name = wish.name ?? `edge${number}`;
    if (edges.some((edge) => edge.name === name)) throw edgeProblems.make('taken', { edge: name });
    await insertEdge(sql, { name, listen: wish.listen ?? first.listen, reason: 'it is being created' });
    if (wish.server !== undefined) await storeEdgeWish(sql, name, wish.server);
    return await parts.operations.start(sql, 'edge.create', { edge: name, heal: false }, who);
  });
}

async function readPlaced(store: Store, name: string) {
  const edge = await readEdge(store, name);
  if (edge?.server == null || edge.address === null) throw commonProblems.make('not-found', { noun: 'edge', name });
  return { ...edge, server: edge.server, address: edge.address };
}

/** Brings an edge's container to what it is to be, and starts it. */
export async function shapeEdge(parts: EdgeParts, name: string, signal: AbortSignal): Promise<void> {
  const edge = await readPlaced(parts.store, name);
  const call = { timeoutMs: AGENT_CALL_MS, signal };
  const { configDir } = await parts.agents.call(edge.server, 'edge.prepare', { edge: name }, call);
  const [image, shared] = [await parts.readServiceImage(), await readEdgeAddress(parts.store)];
  // Its doors at the shared address open only where the agent has seen to it.
  if (shared !== undefined) await parts.agents.call(edge.server, 'server.sync', {}, call);
  await parts.fleet.instances.ensure(renderEdgeInstance(edge, { image, configDir, shared }), { signal });
}

/** The operation `edge.create`. */
export function makeEdgeCreate(parts: EdgeParts): OperationKind<Params> {
  const { store, fleet, agents, events } = parts;
  return makeOperation<Params>({
    kind: 'edge.create',
    params: paramsSchema,
    locks: ({ edge }) => [edgeLock(edge)],
    title: ({ edge, heal }) => `${heal ? 'Heal' : 'Create'} the edge ${edge}`,
    steps: ({ edge, heal }) => (heal ? makeSteps(edge).map(({ undo: _, ...step }) => step) : makeSteps(edge)),
  });

  /** Edges tell each other what sites were asked. One that is broken hears it later, and holds up no new one. */
  async function tellOthers(signal: AbortSignal): Promise<void> {
    await parts.sync(signal).catch(() => undefined);
  }

  function makeSteps(name: string): Step[] {
    return [
      {
        name: 'place',
        timeoutMs: 120_000,
        async do() {
          const cidr = await parts.readCidr();
          return store.transaction(async (sql) => {
            const edge = await readEdge(sql, name);
            if (edge === undefined) throw commonProblems.make('not-found', { noun: 'edge', name });
            if (edge.server !== null) return { server: edge.server, reason: edge.placement };
            const groupOn = new Map<string, number>();
            for (const other of await listEdges(sql)) {
              if (other.server !== null) groupOn.set(other.server, (groupOn.get(other.server) ?? 0) + 1);
            }
            const only = edge.wish === null ? {} : { only: { server: edge.wish, why: 'a person chose it' } };
            const choice = choosePlacement(await listServers(sql), { memoryMb: EDGE_MEMORY_MB, groupOn, ...only });
            const address = await allocateAddress(sql, cidr, { instance: name, server: choice.server });
            await storeEdgePlace(sql, name, { server: choice.server, address, placement: choice.reason });
            return { server: choice.server, reason: choice.reason };
          });
        },
        async undo({ signal }) {
          const edge = await readEdge(store, name);
          await store.transaction(async (sql) => {
            await deleteEdge(sql, name);
            await releaseAddresses(sql, name);
          });
          if (edge?.server == null || !agents.connected().includes(edge.server)) return;
          await agents.call(edge.server, 'edge.forget', { edge: name }, { timeoutMs: AGENT_CALL_MS, signal });
          await agents.call(edge.server, 'server.sync', {}, { timeoutMs: AGENT_CALL_MS, signal });
          await tellOthers(signal);
        },
      },
      {
        name: 'container',
        timeoutMs: 120_000,
        do: ({ signal }) => shapeEdge(parts, name, signal),
        undo: ({ signal }) => fleet.instances.delete(name, { force: true, signal }),
      },
      {
        name: 'configure',
        timeoutMs: 60_000,
        async do({ signal }) {
          const edge = await readPlaced(store, name);
          const call = { timeoutMs: AGENT_CALL_MS, signal };
          await agents.call(edge.server, 'server.sync', {}, call);
          await agents.call(edge.server, 'edge.sync', {}, call);
          const target = { address: edge.address, host: 'health.invalid', path: '/.espalier/health' };
          const answer = await agents.call(edge.server, 'node.probe', target, call);
          // Any answer will do: no site has that name, so a page that says so is right.
          if (answer.status === 0) throw edgeProblems.make('silent', { edge: name, why: answer.detail });
          await tellOthers(signal);
        },
      },
      {
        name: 'open',
        timeoutMs: 10_000,
        async do() {
          await changeConfig(store, async (sql) => {
            if (!(await storeEdgeState(sql, name, 'ready', 'it answers'))) return;
            await events.append(sql, { kind: 'edge.ready', subject: edgeLock(name), by: 'operation' });
          });
        },
      },
    ];
  }
}
