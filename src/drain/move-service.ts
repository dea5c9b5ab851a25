// Moves a database server or cache server to another machine. Its data are copied while it serves; then the visitors of its
// sites wait at the edges, it ends, the last is copied, it is started there, its sites' nodes hear of its address, and
// visitors are let go. Until they are, nobody has written in the new place, so every failure leads back to the old one.
import { z } from 'zod';
import {
  type Asker,
  makeOperation,
  type Operation,
  type OperationKind,
  type StepContext,
} from '../platform/operations/operation.ts';
import type { Json, Sql } from '../platform/store.ts';
import { syncPool } from '../pools/sync.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { isOutOfReach } from '../servers/store.ts';
import type { ServiceNoun } from '../services/noun.ts';
import { readService } from '../services/store.ts';
import { storeHeld } from '../sites/move-store.ts';
import { siteLock } from '../sites/parts.ts';
import { listSites, type SiteRow, storeServiceHost } from '../sites/store.ts';
import { countUnderWay } from '../sites/switch-pools.ts';
import type { DrainParts } from './parts.ts';
import { drainProblems } from './problems.ts';

/** What a person says of it. */
export const serviceMoveSchema = z.strictObject({
  to: z.string().optional().describe('The server; the best of the others unless told'),
});
export type ServiceMoveWish = z.infer<typeof serviceMoveSchema>;

const homeSchema = z.object({ instance: z.string(), server: z.string() });
const paramsSchema = z.object({
  ...{ name: z.string(), former: homeSchema, next: homeSchema, reason: z.string() },
  /** Its sites that are served: their visitors wait. */
  sites: z.array(z.string()),
});
type Params = z.infer<typeof paramsSchema>;

const COPY_MS = 7_200_000;
const TASKS_MS = 900_000;
/** Below the time for which the edges let visitors wait (20 s); requests that are longer under way than this stop the move. */
const DRAIN_S = 8;
const LOOK_EVERY_MS = 20;
const BACK_MS = 120_000;
/** Stopping, the last copy, starting and telling the nodes, where little changed; measured after each move. */
export const SERVICE_PAUSE_S = 12;

/** The sites that a server carries, whatever their state. */
export const sitesOf = async (sql: Sql, noun: ServiceNoun, name: string): Promise<SiteRow[]> =>
  (await listSites(sql)).filter((site) => (noun === 'database' ? site.databaseServer : site.cacheServer) === name);

/** Where it would go and who notices it; refuses as the move itself. */
export async function planServiceMove(
  parts: DrainParts,
  sql: Sql,
  noun: ServiceNoun,
  name: string,
  { to }: ServiceMoveWish,
): Promise<{ params: Params; plan: string[]; sites: string[]; pauseS: number }> {
  const choice = await parts.services[noun].homes.choose(sql, name, to);
  const served = (await sitesOf(sql, noun, name)).filter(({ state }) => state === 'ready');
  const names = served.map((site) => site.name);
  return {
    params: { name, ...choice, sites: served.map(({ id }) => id) },
    plan: [
      `The ${noun} server ${name} goes from ${choice.former.server} to ${choice.next.server}: ${choice.reason}.`,
      'Its data are copied while it serves, then what changed meanwhile. Tasks of its sites pause; runs under way end first.',
      names.length === 0
        ? 'No site that is served lives on it, so nobody waits.'
        : `The visitors of its ${names.length} sites wait about ${SERVICE_PAUSE_S} s, none is turned away.`,
    ],
    ...{ sites: names, pauseS: names.length === 0 ? 0 : SERVICE_PAUSE_S },
  };
}

/** Begins `database.move` or `cache.move` in the caller's transaction. */
export async function startServiceMove(
  parts: DrainParts,
  sql: Sql,
  noun: ServiceNoun,
  name: string,
  wish: ServiceMoveWish,
  who: Asker,
): Promise<Operation> {
  const { params } = await planServiceMove(parts, sql, noun, name, wish);
  return parts.operations.start(sql, `${noun}.move`, params, who);
}

const waitedOf = (outputs: Readonly<Record<string, Json>>): Record<string, string[]> =>
  z.record(z.string(), z.array(z.string())).catch({}).parse(outputs.tasks);

/** The operation `database.move` or `cache.move`. */
export function makeServiceMove(parts: DrainParts, noun: ServiceNoun): OperationKind<Params> {
  const { store, events, clock, pools } = parts;
  const { homes } = parts.services[noun];
  const { tasks } = parts.sites;

  return makeOperation<Params>({
    kind: `${noun}.move`,
    params: paramsSchema,
    locks: ({ name, sites }) => [`${noun}:${name}`, ...sites.map(siteLock)],
    title: ({ name, next }) => `Move the ${noun} server ${name} to ${next.server}`,
    steps: ({ name, former, next, reason, sites: ids }) => {
      const livesIn = async (): Promise<string> => (await readService(store, noun, name))?.instance ?? '';
      const readHeld = async (): Promise<SiteRow[]> => {
        const mine = new Set(ids);
        return (await listSites(store)).filter(({ id, held }) => mine.has(id) && held !== null);
      };
      const isOver = async (): Promise<boolean> =>
        (await livesIn()) === next.instance && (await readHeld()).length === 0;
      const hold = (held: SiteRow['held']) => async (sql: Sql) => {
        for (const id of ids) await storeHeld(sql, id, held);
      };
      /** Says where it lives, to the store and to all nodes that have one of its sites. */
      const live = async (home: Params['next'], placement: string): Promise<void> => {
        await changeConfig(store, async (sql, version) => {
          const address = await homes.store(sql, name, home, placement);
          await storeServiceHost(sql, noun, name, address, version);
        });
      };
      const tellNodes = async (signal: AbortSignal): Promise<void> => {
        const on = new Set((await sitesOf(store, noun, name)).map(({ pool }) => pool));
        for (const pool of on) await syncPool(pools, pool, signal);
      };
      /** What lies on a server that is fenced neither goes nor comes. */
      const assertReachable = async (): Promise<void> => {
        for (const { server } of [former, next])
          if (await isOutOfReach(store, server)) throw drainProblems.make('home-lost', { noun, name, server });
      };
      const discard = async (
        home: Params['next'],
        { signal, say }: Pick<StepContext, 'signal' | 'say'>,
      ): Promise<void> => {
        if (await isOutOfReach(store, home.server))
          return say(`${home.instance} stays on ${home.server}, which is fenced: delete it there when that is back`);
        await homes.discard(name, home, signal);
      };
      const goBack = async (signal: AbortSignal): Promise<void> => {
        if (!(await isOutOfReach(store, next.server))) await homes.stop(next, signal);
        // On a server that is gone it starts with that, or is healed there.
        if (!(await isOutOfReach(store, former.server))) await homes.start(name, former, signal);
        if ((await livesIn()) === next.instance) await live(former, `it is back on ${former.server}`);
        await tellNodes(signal);
        await store.transaction(hold(null));
        await pools.syncEdges(signal);
      };
      /** They wait, and what they had asked before has ended. */
      const holdVisitors = async (signal: AbortSignal): Promise<void> => {
        await store.transaction(hold('edge'));
        await pools.syncEdges(signal);
        const untilMs = clock.monotonicMs() + DRAIN_S * 1000;
        for (const site of ids) {
          while ((await countUnderWay(parts.sites, site, signal)) > 0) {
            if (clock.monotonicMs() > untilMs)
              throw drainProblems.make('requests-last', { noun, name, seconds: DRAIN_S });
            await clock.wait(LOOK_EVERY_MS, signal);
          }
        }
      };
      return [
        {
          name: 'copy',
          timeoutMs: COPY_MS,
          async do({ signal, say }) {
            if ((await livesIn()) === next.instance) return;
            await assertReachable();
            for (let pass = 1; pass <= 2; pass += 1) {
              const begunMs = clock.monotonicMs();
              await homes.follow(name, { former, next }, signal);
              say(`copied in ${((clock.monotonicMs() - begunMs) / 1000).toFixed(1)} s while it serves`);
            }
          },
          async undo(ctx) {
            if ((await livesIn()) !== next.instance) await discard(next, ctx);
          },
        },
        {
          name: 'tasks',
          timeoutMs: TASKS_MS,
          async do({ signal }) {
            const waited = await Promise.all(ids.map(async (id) => [id, await tasks.paused(id, signal)] as const));
            return Object.fromEntries(waited);
          },
          async undo({ outputs }) {
            const waited = waitedOf(outputs);
            await store.transaction(async (sql) => {
              for (const id of ids) await tasks.opened(sql, id, waited[id] ?? []);
            });
          },
        },
        {
          name: 'switch',
          timeoutMs: 600_000,
          async do({ signal, say, outputs }) {
            const begunMs = clock.monotonicMs();
            if (!(await isOver())) {
              if ((await livesIn()) === former.instance) {
                await assertReachable();
                try {
                  await holdVisitors(signal);
                  await homes.stop(former, signal);
                  await homes.follow(name, { former, next }, signal);
                } catch (thrown) {
                  await goBack(AbortSignal.timeout(BACK_MS));
                  throw thrown;
                }
                await live(next, reason);
              }
              await homes.start(name, next, signal);
              await tellNodes(signal);
              const waited = waitedOf(outputs);
              await store.transaction(async (sql) => {
                await hold(null)(sql);
                for (const id of ids) await tasks.opened(sql, id, waited[id] ?? []);
              });
            }
            await pools.syncEdges(signal);
            const pauseS = (clock.monotonicMs() - begunMs) / 1000;
            say(`the visitors of ${ids.length} sites waited ${pauseS.toFixed(1)} s`);
            return { pauseS };
          },
          async undo(ctx) {
            // Once visitors are let go it may have been written: there is no way back, only the rest of the way.
            if (await isOver()) await discard(former, ctx);
            else await goBack(ctx.signal);
          },
        },
        {
          name: 'leave',
          timeoutMs: 300_000,
          do: (ctx) => discard(former, ctx),
        },
        {
          name: 'note',
          timeoutMs: 10_000,
          async do({ outputs }) {
            const data = { name, from: former.server, to: next.server, switch: outputs.switch ?? null };
            await events.append(store, {
              kind: `${noun}.moved`,
              subject: `${noun}:${name}`,
              by: 'operation',
              reason,
              data,
            });
          },
        },
      ];
    },
  });
}
