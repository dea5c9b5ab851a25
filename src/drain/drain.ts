// Empties a server: it takes nothing new, each node gets one in its place elsewhere before it leaves, and it leaves by the
// edges' draining; requests end, runs of tasks have their time. Then the server may be rebooted or removed. What moved
// stays where it is, also when the drain fails: then the server takes new things again.
//
// A server that is emptied is `draining` until somebody ends that (undrain.ts), also after it was lost or rebooted.
import { z } from 'zod';
import { passAddressOn, standByAgain } from '../edge/pass-on.ts';
import { Problem } from '../lib/errors.ts';
import {
  type Asker,
  makeOperation,
  type Operation,
  type OperationKind,
  type StepContext,
} from '../platform/operations/operation.ts';
import { askerOf, runChild } from '../platform/operations/run-child.ts';
import type { Sql } from '../platform/store.ts';
import { poolLock } from '../pools/parts.ts';
import { startReplacement } from '../pools/replace-node.ts';
import { listNodes, type NodeRow } from '../pools/store.ts';
import { serverLock } from '../servers/locks.ts';
import { isApart, readServer, storeDraining } from '../servers/store.ts';
import { startServiceMove } from './move-service.ts';
import type { DrainParts } from './parts.ts';
import type { DrainWish } from './plan.ts';
import { drainProblems } from './problems.ts';
import { listTenants, renderStaying } from './tenants.ts';

/** What a person says of it. */
export const drainWishSchema = z.strictObject({
  patienceS: z.int().min(0).max(86_400).default(3_600).describe('How long runs of tasks may go on'),
  leaveBehind: z.boolean().default(false).describe('What cannot go elsewhere stays, in place of a refusal'),
});

const paramsSchema = z.object({
  ...{ server: z.string(), patienceS: z.int(), why: z.string() },
  /** How many leave: the bounds of the steps. */
  nodes: z.int(),
  services: z.int(),
  /** It was being emptied before, or had been: a failure leaves it so. */
  again: z.boolean(),
});
type Params = z.infer<typeof paramsSchema>;

/** Making one in its place and taking it away, without the time of its runs. */
export const NODE_MS = 600_000;
/** Copying the data of one over a network, and the runs of its sites that end first. */
export const SERVICE_MS = 10_800_000;
const LOOK_EVERY_MS = 500;
/** What it leads ends in order first; the other takes the next term within a second. */
const HAND_OVER_MS = 60_000;
/** Pools that change at once: each has a container that boots. */
const POOLS_AT_ONCE = 3;

/** Begins `server.drain` in the caller's transaction. `nodes`: how many the plan says that leave. */
export async function startServerDrain(
  parts: DrainParts,
  sql: Sql,
  server: string,
  wish: DrainWish & { nodes: number; services: number },
  who: Asker,
): Promise<Operation> {
  const { nodes, services, patienceS } = wish;
  const why = who.reason ?? `${who.by} wants it empty`;
  const again = (await readServer(sql, server))?.drainReason != null;
  return parts.operations.start(sql, 'server.drain', { server, patienceS, why, nodes, services, again }, who);
}

/** The operation `server.drain`. */
export function makeServerDrain(parts: DrainParts): OperationKind<Params> {
  const { store, events } = parts;
  const note = (sql: Sql, server: string, kind: string, reason: string) =>
    events.append(sql, { kind, subject: serverLock(server), by: 'operation', reason });
  return makeOperation<Params>({
    kind: 'server.drain',
    params: paramsSchema,
    locks: ({ server }) => [serverLock(server)],
    title: ({ server }) => `Empty the server ${server}`,
    steps: ({ server, patienceS, why, nodes, services, again }) => [
      {
        name: 'close',
        timeoutMs: 10_000,
        async do() {
          await store.transaction(async (sql) => {
            if (await storeDraining(sql, server, why, why)) await note(sql, server, 'server.draining', why);
          });
        },
        async undo() {
          await store.transaction(async (sql) => {
            const reason = 'it could not be emptied';
            if (again || !(await storeDraining(sql, server, null, reason))) return;
            if ((await readServer(sql, server))?.state === 'ready') await note(sql, server, 'server.ready', reason);
          });
        },
      },
      {
        name: 'nodes',
        timeoutMs: (nodes + 1) * (NODE_MS + patienceS * 1000),
        do: (ctx) => moveNodes(parts, { server, patienceS, why }, ctx),
      },
      {
        name: 'services',
        timeoutMs: (services + 1) * SERVICE_MS,
        do: (ctx) => moveServices(parts, { server, why }, ctx),
      },
      {
        name: 'edge',
        timeoutMs: 120_000,
        async do({ signal, say }) {
          const heir = await passAddressOn(parts, server, signal);
          if (heir !== undefined) say(`${heir} has the address that edges share`);
        },
        undo: () => standByAgain(parts, server),
      },
      {
        name: 'controller',
        timeoutMs: HAND_OVER_MS + 30_000,
        do: (ctx) => handOver(parts, server, ctx),
      },
      {
        name: 'note',
        timeoutMs: 30_000,
        async do({ signal }) {
          const left = (await listTenants(parts, server, signal))
            .filter(({ passes }) => passes === null)
            .map((tenant) => ({ ...tenant, stays: tenant.stays ?? 'it came meanwhile' }));
          const reason = left.length === 0 ? `empty: ${why}` : `emptied but for ${renderStaying(left)}`;
          await store.transaction(async (sql) => {
            // Somebody may have ended it meanwhile.
            if ((await readServer(sql, server))?.drainReason == null) return;
            await storeDraining(sql, server, reason, reason);
            await note(sql, server, 'server.drained', reason);
          });
          return { left: left.map(({ words }) => words) };
        },
      },
    ],
  });
}

/** Looks again and again at what is there, so that it may be begun anew at any point. */
async function moveNodes(
  parts: DrainParts,
  { server, patienceS, why }: Pick<Params, 'server' | 'patienceS' | 'why'>,
  ctx: StepContext,
): Promise<void> {
  const { clock } = parts;
  const replace = async (node: NodeRow): Promise<void> => {
    const who = { ...askerOf(ctx), reason: `${server} is emptied: ${why}` };
    const begin = (sql: Sql) => startReplacement(parts.pools, sql, node.name, who, patienceS);
    await orBusy(`the node ${node.name}`, ctx, () =>
      runChild(parts, { kind: 'node.replace', lock: poolLock(node.pool), begin }, ctx.signal),
    );
  };
  for (let told = -1; ; ) {
    await assertNotFenced(parts, server);
    const leaving = await listLeaving(parts, server, ctx.signal);
    if (leaving.length === 0) return;
    if (leaving.length !== told) ctx.say(`${leaving.length} nodes are still on ${server}`);
    told = leaving.length;
    const firsts = [...Map.groupBy(leaving, ({ pool }) => pool).values()].flatMap(([first]) => first ?? []);
    const serving = firsts.filter(({ state }) => state === 'ready').slice(0, POOLS_AT_ONCE);
    // All to their ends: what one began, none leaves alone.
    const ended = await Promise.allSettled(serving.map(replace));
    const failed = ended.find((one) => one.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    // What boots, leaves or is dead is another operation's, or healing's.
    if (serving.length === 0) await clock.wait(LOOK_EVERY_MS, ctx.signal);
  }
}

/** Database servers and cache servers, one after another: visitors of a site wait for one at a time. */
async function moveServices(
  parts: DrainParts,
  { server, why }: Pick<Params, 'server' | 'why'>,
  ctx: StepContext,
): Promise<void> {
  for (;;) {
    await assertNotFenced(parts, server);
    const tenants = await listTenants(parts, server, ctx.signal);
    const next = tenants.find(({ kind, stays }) => (kind === 'database' || kind === 'cache') && stays === null);
    if (next === undefined) return;
    const noun = next.kind === 'database' ? 'database' : 'cache';
    ctx.say(`moving ${next.words}`);
    const who = { ...askerOf(ctx), reason: `${server} is emptied: ${why}` };
    const begin = (sql: Sql) => startServiceMove(parts, sql, noun, next.name, {}, who);
    await orBusy(next.words, ctx, () =>
      runChild(parts, { kind: `${noun}.move`, lock: `${noun}:${next.name}`, begin }, ctx.signal),
    );
  }
}

/** A server that is gone needs no emptying: what it carried is made anew by others. A silence alone is waited out. */
async function assertNotFenced({ store }: DrainParts, server: string): Promise<void> {
  const row = await readServer(store, server);
  if (row !== undefined && isApart(row.state)) throw drainProblems.make('lost', { server, reason: row.reason });
}

/** The one on another server leads, and goes on with this very step. Where nobody takes over, this one leads on, which is told. */
async function handOver(
  { store, clock, controllers, readLeadingServer }: DrainParts,
  server: string,
  ctx: StepContext,
) {
  if ((await readLeadingServer(store)) !== server) return;
  const heir = await controllers.readHeir(server);
  if (heir === undefined) return;
  ctx.say(`the controller on ${heir.name} takes over`);
  await controllers.handOver(heir.id, HAND_OVER_MS);
  const untilMs = clock.monotonicMs() + HAND_OVER_MS;
  while ((await readLeadingServer(store)) === server && clock.monotonicMs() < untilMs)
    await clock.wait(LOOK_EVERY_MS, ctx.signal);
}

/** What another operation holds is waited for. */
async function orBusy(what: string, ctx: StepContext, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    ctx.signal.throwIfAborted();
    if (!(thrown instanceof Problem) || !WAITS_FOR.has(thrown.code)) throw thrown;
    throw drainProblems.make('busy', { what, why: thrown.document.detail }, thrown);
  }
}

/** Another operation has the pool, or the node went away between our look and our beginning. */
const WAITS_FOR = new Set(['operations.locked', 'common.not-found', 'pool.not-ready']);

/** The nodes that can leave; those that serve first of each pool. */
async function listLeaving(parts: DrainParts, server: string, signal: AbortSignal): Promise<NodeRow[]> {
  const tenants = await listTenants(parts, server, signal);
  const free = new Set(tenants.flatMap(({ kind, name, stays }) => (kind === 'node' && stays === null ? [name] : [])));
  const nodes = (await listNodes(parts.store, { server })).filter(({ name }) => free.has(name));
  return nodes.sort((one, other) => Number(other.state === 'ready') - Number(one.state === 'ready'));
}
