// Moves all sites of a pool to another pool of the app, one after another, each by its own move with its own pause. So a pool
// leaves the server that its uploads bind it to, or goes into the folder that all servers share: a new pool, its sites, and the
// old one is deleted. What has moved stays there when one fails; the rest goes on with the next call.
import { z } from 'zod';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import { askerOf, runChild } from '../platform/operations/run-child.ts';
import type { Sql } from '../platform/store.ts';
import { poolLock } from '../pools/parts.ts';
import { poolProblems } from '../pools/problems.ts';
import { readPool } from '../pools/store.ts';
import { startSiteMove } from './move.ts';
import { type SiteParts, siteLock } from './parts.ts';
import { type NewMove, planMove, readMove } from './plan-move.ts';
import { siteProblems } from './problems.ts';
import { countSitesByPool, listSites, type SiteRow } from './store.ts';

const paramsSchema = z.object({ from: z.string(), to: z.string(), maxPauseS: z.number(), sites: z.int() });
type Params = z.infer<typeof paramsSchema>;

/** One site with its first copy, its runs and its last copy. */
const SITE_MS = 7_200_000;

/** Those that can be moved. Archived ones keep their files where they are, and with them the old pool. */
async function listMovable(sql: Sql, pool: string): Promise<SiteRow[]> {
  const living = (await listSites(sql, { pool })).filter((site) => site.pool === pool);
  return living.filter(({ state }) => state === 'ready' || state === 'suspended');
}

/** Begins `pool.move-sites` in the caller's transaction. Each site is checked as for its own move. */
export async function startMoveAll(
  parts: SiteParts,
  sql: Sql,
  from: string,
  wish: NewMove,
  who: Asker,
): Promise<Operation> {
  const sites = await listMovable(sql, from);
  if (sites.length === 0) throw siteProblems.make('none-to-move', { pool: from });
  for (const { id } of sites) await readMove(sql, id, wish);
  const max = (await readPool(sql, wish.to))?.maxSites ?? 0;
  if (((await countSitesByPool(sql)).get(wish.to) ?? 0) + sites.length > max)
    throw poolProblems.make('full', { pool: wish.to, max });
  const params = { from, to: wish.to, maxPauseS: wish.maxPauseS, sites: sites.length };
  return parts.operations.start(sql, 'pool.move-sites', params, who);
}

/** What each move would do, in one line a site; refuses with the first reason. */
export async function planMoveAll(
  parts: SiteParts,
  from: string,
  wish: NewMove,
  signal: AbortSignal,
): Promise<{ plan: string[]; sites: string[]; pauseS: number }> {
  const moves = [];
  for (const { name } of await listMovable(parts.store, from))
    moves.push({ name, ...(await planMove(parts, name, wish, signal)) });
  return {
    plan: [
      'One site after another; what has moved stays there when one fails.',
      ...moves.map(({ name, pauseS }) => `${name}: its visitors wait about ${pauseS} s.`),
    ],
    sites: moves.map(({ name }) => name),
    pauseS: Math.max(0, ...moves.map(({ pauseS }) => pauseS)),
  };
}

/** The operation `pool.move-sites`. */
export function makeMoveAll(parts: SiteParts): OperationKind<Params> {
  const { store } = parts;
  return makeOperation<Params>({
    kind: 'pool.move-sites',
    params: paramsSchema,
    locks: ({ from, to }) => [poolLock(from), poolLock(to)],
    title: ({ from, to }) => `Move the sites of ${from} to ${to}`,
    steps: ({ from, to, maxPauseS, sites }) => [
      {
        name: 'sites',
        timeoutMs: (sites + 1) * SITE_MS,
        async do(ctx) {
          let moved = 0;
          for (;;) {
            const [next] = await listMovable(store, from);
            if (next === undefined) return { moved };
            ctx.say(`moving ${next.name}`);
            const begin = (sql: Sql) => startSiteMove(parts, sql, next.id, { to, maxPauseS }, askerOf(ctx));
            await runChild(parts, { kind: 'site.move', lock: siteLock(next.id), begin }, ctx.signal);
            moved += 1;
          }
        },
      },
    ],
  });
}
