// What a move needs and what it will cost, looked at before anything begins. Apart from moving, because it is also the whole
// answer to a dry run.
import { z } from 'zod';
import { readImage } from '../images/store.ts';
import { commonProblems } from '../lib/errors.ts';
import type { Sql } from '../platform/store.ts';
import { poolProblems } from '../pools/problems.ts';
import { listPools, type PoolRow, readPool } from '../pools/store.ts';
import { assertDisk } from '../servers/room.ts';
import { assertPoolTakes } from './admit.ts';
import { assertCarriable } from './carriers.ts';
import { readVersionOf } from './image-of.ts';
import { readServingNodes } from './nodes.ts';
import type { SiteParts } from './parts.ts';
import { siteProblems } from './problems.ts';
import { readSite, type SiteRow } from './store.ts';

/** What a person says of a move. */
export const newMoveSchema = z.strictObject({
  to: z.string().min(1).describe('The pool to live on'),
  /** Below the time for which the edge lets visitors wait (HOLD_MS). */
  maxPauseS: z.number().min(1).max(18).default(15).describe('A longer pause is not made: the site stays where it is'),
});
export type NewMove = z.infer<typeof newMoveSchema>;

export const moveParamsSchema = z.object({
  site: z.string(),
  name: z.string(),
  from: z.string(),
  to: z.string(),
  maxPauseS: z.number(),
});
export type MoveParams = z.infer<typeof moveParamsSchema>;

/** Holding, closing PHP and switching, measured on two busy cores; and how many files a pass looks at in a second. */
const SWITCH_S = 0.8;
const FILES_A_SECOND = 25_000;
const MEASURE_MS = 60_000;
const MB = 2 ** 20;
/** Beside the files themselves. */
const SPARE_MB = 256;

/** Checks the wish against what the store says. */
export async function readMove(sql: Sql, name: string, wish: NewMove): Promise<MoveParams> {
  const site = await readSite(sql, name);
  if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name });
  if (site.state !== 'ready' && site.state !== 'suspended') {
    const about = { site: site.name, state: site.state, verb: 'move', needed: 'ready or suspended' };
    throw siteProblems.make('wrong-state', about);
  }
  if (wish.to === site.pool) throw siteProblems.make('same-pool', { site: site.name, pool: wish.to });
  const to = await assertPoolTakes(sql, wish.to, site);
  const from = await readPool(sql, site.pool);
  for (const pool of [from, to])
    if (pool !== undefined && pool.otherGeneration !== null)
      throw poolProblems.make('two-generations', { pool: pool.name, verb: 'moved' });
  await assertSameVersion(sql, site, to);
  return { site: site.id, name: site.name, from: site.pool, to: wish.to, maxPauseS: wish.maxPauseS };
}

/** Its tables are of its own version of the app: another one's code would change them, with no way back, or not read them. */
async function assertSameVersion(sql: Sql, site: SiteRow, to: PoolRow): Promise<void> {
  const [has, there] = [await readVersionOf(sql, site), await readVersionOf(sql, { ...to, pool: to.name })];
  if (has === there) return;
  throw siteProblems.make('other-version', { site: site.name, app: site.app, has, pool: to.name, there });
}

/** A pool's uploads of one site: how much and how many. */
export async function measureContent(
  parts: SiteParts,
  site: SiteRow,
  signal: AbortSignal,
): Promise<{ bytes: number; files: number }> {
  const [node] = await readServingNodes(parts, site);
  const ask = async (what: string): Promise<number> => {
    const argv = ['du', '--summarize', what, `/srv/content/${site.id}`];
    const { stdout } = await parts.pools.fleet.exec(node.name, argv, { signal, timeoutMs: MEASURE_MS });
    return Number.parseInt(stdout, 10) || 0;
  };
  return { bytes: await ask('--bytes'), files: await ask('--inodes') };
}

/** What a pause will be about, from the number of files and, where it is known, the time of the last pass. */
export const estimatePauseS = (files: number, lastPassS = files / FILES_A_SECOND): number =>
  Math.round((SWITCH_S + lastPassS) * 10) / 10;

/** Looks at everything that the move needs; refuses with the reason, or says what would be done. */
export async function planMove(
  parts: SiteParts,
  name: string,
  wish: NewMove,
  signal: AbortSignal,
): Promise<{ params: MoveParams; plan: string[]; pauseS: number; sites: string[] }> {
  const { store, pools } = parts;
  const params = await readMove(store, name, wish);
  const site = await readSite(store, params.site);
  const target = (await listPools(store)).find((pool) => pool.name === params.to);
  if (site === undefined || target === undefined) throw commonProblems.make('not-found', { noun: 'site', name });
  const { crosses } = await assertCarriable(parts, params.from, params.to);
  const nodes = await readServingNodes(parts, { pool: params.to });
  const { bytes, files } = await measureContent(parts, site, signal);
  const sizeMb = Math.ceil(bytes / MB);
  await assertDisk(pools.fleet, sizeMb + SPARE_MB);
  const pauseS = site.state === 'ready' ? estimatePauseS(files) : 0;
  if (pauseS > wish.maxPauseS) {
    const why = `a last look at ${files} files is needed while nobody writes`;
    throw siteProblems.make('pause-too-long', { site: site.name, pauseS, maxS: wish.maxPauseS, why });
  }
  const hasOwn = async (pool: string): Promise<boolean> => {
    const row = await readPool(store, pool);
    const image = row && (await readImage(store, row.app, row.imageNumber));
    return image?.ownSite === site.id;
  };
  const losesCode = (await hasOwn(params.from)) && !(await hasOwn(params.to));
  const plan = [
    `${site.name} goes from the pool ${params.from} to ${params.to} (${target.kind}, ${target.app}/${target.imageNumber}, ${nodes.length} nodes ready).`,
    `${sizeMb} MB in ${files} files are copied while it serves${crosses ? ', over the network between two containers' : ''}, then what changed meanwhile.`,
    `Its database stays on ${site.databaseServer}. Its tasks pause; runs under way end first.`,
    ...(losesCode ? [`Its own code stays behind: ${params.to} has the app's alone.`] : []),
    site.state === 'ready'
      ? `Its visitors wait about ${pauseS} s, none is turned away. If it would be more than ${wish.maxPauseS} s it stays where it is.`
      : 'It is suspended, so nobody waits.',
  ];
  return { params, plan, pauseS, sites: [site.name] };
}
