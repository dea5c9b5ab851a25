// Updates servers, one after another: emptied, its packages upgraded, rebooted when that is wanted, seen to be well, and
// only then it takes new things and the next one's turn comes. When something fails the server stays empty and no other is
// touched: a person looks at it, and gives the same command again.
import { z } from 'zod';
import { standByAgain } from '../edge/pass-on.ts';
import { Problem } from '../lib/errors.ts';
import {
  type Asker,
  makeOperation,
  type Operation,
  type OperationKind,
  type Step,
} from '../platform/operations/operation.ts';
import { askerOf, runChild } from '../platform/operations/run-child.ts';
import type { Json, Sql } from '../platform/store.ts';
import { serverLock } from '../servers/locks.ts';
import { listServers, readServer } from '../servers/store.ts';
import { drainWishSchema, NODE_MS, SERVICE_MS, startServerDrain } from './drain.ts';
import type { DrainParts } from './parts.ts';
import { type DrainPlan, planDrain } from './plan.ts';
import { drainProblems } from './problems.ts';
import { storeUndrained } from './undrain.ts';
import { findUnwell } from './well.ts';

/** What a person says of it. */
export const updateWishSchema = drainWishSchema.extend({
  servers: z.array(z.string()).max(1_000).default([]).describe('All, the first of the cluster last, unless told'),
  reboot: z.enum(['never', 'if-needed', 'always']).default('if-needed').describe('After the packages'),
});
export type UpdateWish = z.infer<typeof updateWishSchema>;

const paramsSchema = z.object({
  servers: z.array(z.object({ name: z.string(), nodes: z.int(), services: z.int() })),
  ...{ reboot: updateWishSchema.shape.reboot, patienceS: z.int(), leaveBehind: z.boolean(), why: z.string() },
});
type Params = z.infer<typeof paramsSchema>;

const UPGRADE_MS = 1_800_000;
/** Also a machine that checks its memory and its disks first. */
const REBOOT_MS = 1_800_000;
/** Nodes that died with something else meanwhile are made anew. */
const WELL_MS = 900_000;
const CALL_MS = 20_000;
/** One lock for all: two updates at once would take two servers away. */
const UPDATE_LOCK = 'servers';

/** Looks at each server, or refuses with the first reason; the servers in their order, with what would be done. */
export async function planUpdate(
  parts: DrainParts,
  wish: UpdateWish,
  signal: AbortSignal,
): Promise<DrainPlan & { servers: Params['servers'] }> {
  const first = await parts.readLeadingServer(parts.store);
  const known = (await listServers(parts.store)).map(({ name }) => name);
  const names = [...new Set(wish.servers.length === 0 ? known : wish.servers)];
  // The controller reboots with its server, and goes on then: best when all else is done.
  names.sort((a, b) => Number(a === first) - Number(b === first));
  const plans: { name: string; plan: DrainPlan }[] = [];
  for (const name of names) plans.push({ name, plan: await planDrain(parts, name, wish, signal) });
  const reboots = { never: 'is not rebooted', 'if-needed': 'is rebooted if they ask for it', always: 'is rebooted' };
  return {
    plan: plans.flatMap(({ name, plan }, at) => [
      `${at + 1}. ${name} is emptied, its packages are upgraded, it ${reboots[wish.reboot]}, and is in use again when all is well.`,
      ...plan.plan.slice(0, -1).map((line) => `   ${line}`),
    ]),
    sites: [...new Set(plans.flatMap(({ plan }) => plan.sites))].sort(),
    pauseS: Math.max(0, ...plans.map(({ plan }) => plan.pauseS)),
    nodes: plans.reduce((sum, { plan }) => sum + plan.nodes, 0),
    services: plans.reduce((sum, { plan }) => sum + plan.services, 0),
    servers: plans.map(({ name, plan: { nodes, services } }) => ({ name, nodes, services })),
  };
}

/** Begins `server.update` in the caller's transaction. `servers`: as the plan says. */
export function startServerUpdate(
  parts: DrainParts,
  sql: Sql,
  wish: Omit<UpdateWish, 'servers'> & { servers: Params['servers'] },
  who: Asker,
): Promise<Operation> {
  const why = who.reason ?? `${who.by} updates it`;
  return parts.operations.start(sql, 'server.update', { ...wish, why } satisfies Params, who);
}

/** The operation `server.update`. */
export function makeServerUpdate(parts: DrainParts): OperationKind<Params> {
  return makeOperation<Params>({
    kind: 'server.update',
    params: paramsSchema,
    locks: () => [UPDATE_LOCK],
    title: ({ servers }) => `Update ${servers.map(({ name }) => name).join(', ')}`,
    steps: (params) => params.servers.flatMap((server) => makeSteps(parts, server, params)),
  });
}

/** Of one server. Their names tell which. */
function makeSteps(parts: DrainParts, of: Params['servers'][number], params: Params): Step[] {
  const { name: server, nodes, services } = of;
  const { store, agents } = parts;
  const { reboot, patienceS, leaveBehind, why } = params;
  return [
    {
      name: `drain ${server}`,
      timeoutMs: (nodes + 2) * (NODE_MS + patienceS * 1000) + (services + 1) * SERVICE_MS,
      async do(ctx) {
        const wish = { patienceS, leaveBehind };
        // Others may be there by now: it is looked at anew.
        const plan = await planDrain(parts, server, wish, ctx.signal);
        const who = { ...askerOf(ctx), reason: why };
        const leaving = { nodes: plan.nodes, services: plan.services };
        const begin = (sql: Sql) => startServerDrain(parts, sql, server, { ...wish, ...leaving }, who);
        await runChild(parts, { kind: 'server.drain', lock: serverLock(server), begin }, ctx.signal);
      },
    },
    {
      name: `upgrade ${server}`,
      timeoutMs: UPGRADE_MS,
      async do({ signal, say }) {
        try {
          const done = await agents.call(server, 'server.upgrade', {}, { timeoutMs: UPGRADE_MS, signal });
          say(`${done.upgraded} packages upgraded${done.wantsReboot ? '; they ask for a reboot' : ''}`);
          return done;
        } catch (thrown) {
          if (!(thrown instanceof Problem) || thrown.retryable) throw thrown;
          throw drainProblems.make('update-failed', { server, why: thrown.document.detail }, thrown);
        }
      },
    },
    {
      name: `reboot ${server}`,
      timeoutMs: REBOOT_MS,
      async do({ signal, outputs }) {
        const { boot, wantsReboot } = bootOf(outputs[`upgrade ${server}`] ?? null);
        if (reboot === 'never' || (reboot === 'if-needed' && !wantsReboot)) return { rebooted: false };
        const call = { timeoutMs: CALL_MS, signal };
        const { reboots } = await agents.call(server, 'server.reboot', { boot }, call);
        if (!reboots) return { rebooted: true };
        throw drainProblems.make('not-back', { server, why: 'reboots' });
      },
    },
    {
      name: `check ${server}`,
      timeoutMs: WELL_MS,
      async do({ signal }) {
        const why = await findUnwell(parts, server, signal);
        if (why !== undefined) throw drainProblems.make('not-well', { why });
      },
    },
    {
      name: `undrain ${server}`,
      timeoutMs: 40_000,
      async do(ctx) {
        await store.transaction(async (sql) => {
          if ((await readServer(sql, server))?.drainReason == null) return;
          await storeUndrained(parts, sql, server, { ...askerOf(ctx), reason: 'it is updated and well' });
        });
        await standByAgain(parts, server);
      },
    },
  ];
}

const bootOf = (output: Json): { boot: string; wantsReboot: boolean } =>
  z.object({ boot: z.string(), wantsReboot: z.boolean() }).parse(output);
