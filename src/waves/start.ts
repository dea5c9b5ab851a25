// Begins waves, and holds, resumes and ends them. Everything that can be known beforehand is refused here, before anything
// changes.
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import type { Asker } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { nameOfImage, poolLock } from '../pools/parts.ts';
import { poolProblems } from '../pools/problems.ts';
import { readRunningRoll } from '../pools/roll/store.ts';
import { listPools, type PoolRow, readPool, storeOtherGeneration, storePoolWanted } from '../pools/store.ts';
import { assertMemory } from '../servers/room.ts';
import { listSites } from '../sites/store.ts';
import { type WaveParts, waveSubject } from './parts.ts';
import { chooseSites, percentOf, planBatches } from './plan.ts';
import { waveProblems } from './problems.ts';
import {
  insertWave,
  insertWaveSites,
  listWaveSites,
  type NewWave,
  readOpenWave,
  readWave,
  storeWave,
  storeWaveSite,
  takeWave,
  type WaveRow,
} from './store.ts';

const label = z.string().regex(/^[a-z][a-z0-9-]{0,30}=[^=\s]{1,60}$/, 'must be key=value');

/** What a person says of a wave. */
export const newWaveSchema = z.strictObject({
  pool: z.string(),
  image: z.int().min(1).optional().describe("The image's number; the newest unless told"),
  canaries: z.array(z.string()).max(100).default([]).describe('Sites that go first, by name'),
  labels: z
    .array(label)
    .max(50)
    .default([])
    .describe('Only sites with one of these; without `percents` a batch for each'),
  percents: z
    .array(z.number().gt(0).max(100))
    .min(1)
    .max(20)
    .refine((all) => all.every((one, at) => at === 0 || one > (all[at - 1] ?? 0)), 'must rise')
    .refine((all) => all.at(-1) === 100, 'must end with 100')
    .optional()
    .describe('Shares of the sites that are upgraded after each batch; 5, 25, 100 unless told'),
  stopAtPercent: z.number().min(0).max(100).default(5).describe('The share of the sites so far that may fail'),
  checkPages: z
    .array(z.string().regex(/^\/\S*$/, 'must begin with "/"'))
    .min(1)
    .max(20)
    .default(['/'])
    .describe('Pages that are compared with those before'),
  atOnce: z.int().min(1).max(50).default(3).describe('So many sites are upgraded at the same time'),
});
export type NewWaveWish = z.infer<typeof newWaveSchema>;

/** What a wave would do. */
export interface WavePlan {
  wave: Omit<NewWave, 'id' | 'reason' | 'startedBy'>;
  sites: { site: string; name: string; batch: number }[];
  /** The pool, and its workers. */
  pools: PoolRow[];
  sentences: string[];
}

/** Looks at everything that the wave needs; refuses with the reason, or gives the plan. */
export async function planWave(parts: WaveParts, sql: Sql, wish: NewWaveWish): Promise<WavePlan> {
  const pool = await readPool(sql, wish.pool);
  if (pool === undefined) throw commonProblems.make('not-found', { noun: 'pool', name: wish.pool });
  const { name, app } = pool;
  if (pool.worksFor !== null) throw poolProblems.make('roll-its-pool', { pool: name, worksFor: pool.worksFor });
  if (pool.state !== 'ready') throw poolProblems.make('not-ready', { pool: name, state: pool.state });
  await assertAlone(sql, name);
  if (parts.sites.readRecipe(app)?.site?.upgrade === undefined) throw waveProblems.make('no-upgrade', { app });
  const toImage = wish.image ?? (await parts.pools.readNewestImage(sql, app)).number;
  await parts.pools.readFingerprint(sql, app, toImage);
  const sites = await listSites(sql, { pool: name });
  const { otherGeneration, otherImage } = pool;
  if (otherImage !== null && otherImage !== toImage) {
    const count = sites.filter(({ generation }) => generation === otherGeneration).length;
    const [own, other] = [nameOfImage(app, pool.imageNumber), nameOfImage(app, otherImage)];
    throw waveProblems.make('two-images', { pool: name, own, other, sites: count });
  }
  const image = nameOfImage(app, toImage);
  if (otherImage === null && pool.imageNumber === toImage) throw waveProblems.make('has-image', { pool: name, image });
  const open = sites.filter(
    ({ state, generation }) => generation === pool.generation && (state === 'ready' || state === 'suspended'),
  );
  const missing = wish.canaries.find((one) => !chooseSites(open, toWish(wish)).some((site) => site.name === one));
  if (missing !== undefined) throw waveProblems.make('unknown-canary', { site: missing, pool: name });
  const batches = planBatches(open, toWish(wish));
  const which =
    wish.labels.length === 0 ? `on ${nameOfImage(app, pool.imageNumber)}` : `with ${wish.labels.join(' or ')}`;
  if (batches.sites.length === 0) throw waveProblems.make('no-sites', { pool: name, which });
  const workers = (await listPools(sql)).filter((one) => one.worksFor === name);
  for (const one of [pool, ...workers]) await assertMemory(sql, { memoryMb: one.nodeMemoryMb, count: one.wanted });
  const stopAt = wish.stopAtPercent / 100;
  const counts = batches.titles.map((title, batch) => {
    const count = batches.sites.filter((site) => site.batch === batch).length;
    return `${title}: ${count} ${count === 1 ? 'site' : 'sites'}`;
  });
  return {
    wave: {
      ...{ pool: name, app, fromImage: pool.imageNumber, fromGeneration: pool.generation, toImage },
      toGeneration: otherGeneration ?? pool.generation + 1,
      whole: wish.labels.length === 0,
      ...{ batches: batches.titles, stopAt, checkPages: wish.checkPages, atOnce: wish.atOnce },
    },
    sites: batches.sites,
    pools: [pool, ...workers],
    sentences: [
      `${batches.sites.length} sites of ${name} go from ${nameOfImage(app, pool.imageNumber)} to ${image}, ${wish.atOnce} at once: ${counts.join(', ')}.`,
      `Nodes of ${image} are made beside the ${pool.wanted} there are, at most ${pool.wanted} more (${pool.wanted * pool.nodeMemoryMb} MB).`,
      `Each site: its visitors are held, its tasks rest, database and files are kept, the app upgrades its tables, ${wish.checkPages.join(', ')} must be as before. Otherwise all three are brought back.`,
      `It stops when more than ${percentOf(stopAt)} of the sites so far fail.`,
    ],
  };
}

const toWish = ({ canaries, labels, percents }: NewWaveWish) => ({ canaries, labels, percents });

/** Nothing else may change the pool's images meanwhile. */
async function assertAlone(sql: Sql, pool: string): Promise<void> {
  const roll = await readRunningRoll(sql, pool);
  if (roll !== undefined)
    throw poolProblems.make('rolling', { pool, image: nameOfImage(roll.app, roll.toImage), why: roll.reason });
  const wave = await readOpenWave(sql, pool);
  if (wave !== undefined)
    throw waveProblems.make('under-way', { pool, wave: wave.id, state: wave.state, why: wave.reason });
}

/** Stores the wave and its sites and gives the pool its second generation, in the caller's transaction. */
export async function startWave(parts: WaveParts, sql: Sql, wish: NewWaveWish, who: Asker): Promise<WaveRow> {
  const plan = await planWave(parts, sql, wish);
  const id = `w${randomBytes(6).toString('hex')}`;
  await insertWave(sql, { ...plan.wave, id, reason: 'about to begin', startedBy: who.by });
  await insertWaveSites(sql, id, plan.sites);
  const { toGeneration: generation, toImage: imageNumber } = plan.wave;
  for (const pool of plan.pools) {
    // One that sleeps wakes: its sites are looked at before.
    if (pool.wanted === 0) await storePoolWanted(sql, pool.name, 1);
    if (pool.otherGeneration === null)
      await storeOtherGeneration(sql, pool.name, { generation, imageNumber, wanted: 1 });
  }
  const { pool, app, fromImage, toImage } = plan.wave;
  const reason = who.reason ?? `${plan.sites.length} sites from ${app}/${fromImage} to ${app}/${toImage}`;
  for (const subject of [waveSubject(id), poolLock(pool)])
    await parts.events.append(sql, { kind: 'wave.begun', subject, by: who.by, reason, data: { wave: id } });
  return readExisting(sql, id);
}

async function readExisting(sql: Sql, id: string): Promise<WaveRow> {
  const wave = await readWave(sql, id);
  if (wave === undefined) throw commonProblems.make('not-found', { noun: 'wave', name: id });
  return wave;
}

/** Holds the wave before its next site. */
export async function pauseWave(parts: WaveParts, id: string, who: Asker): Promise<WaveRow> {
  return parts.store.transaction(async (sql) => {
    const wave = await readExisting(sql, id);
    if (wave.state !== 'running')
      throw waveProblems.make('not-under-way', { wave: id, state: wave.state, why: wave.reason });
    const reason = who.reason ?? `paused by ${who.by}`;
    await storeWave(sql, id, { pausedBy: who.by, reason });
    await parts.events.append(sql, { kind: 'wave.paused', subject: waveSubject(id), by: who.by, reason });
    return readExisting(sql, id);
  });
}

/** Lets a paused wave go on; one that stopped or is done tries its failed sites again and goes on. */
export async function resumeWave(parts: WaveParts, id: string, who: Asker): Promise<WaveRow> {
  const resumed = await parts.store.transaction(async (sql) => {
    const wave = await takeWave(sql, id);
    if (wave === undefined) throw commonProblems.make('not-found', { noun: 'wave', name: id });
    if (wave.state === 'aborted' || wave.endsAs === 'aborted')
      throw waveProblems.make('not-under-way', { wave: id, state: 'aborted', why: wave.reason });
    const rows = await listWaveSites(sql, id);
    const again = rows.filter(({ state }) => state === 'failed' || state === 'stuck');
    const isHeld = wave.pausedBy !== null || wave.endsAs !== null || wave.state === 'stopped';
    if (!isHeld && (wave.state === 'running' || again.length === 0))
      throw waveProblems.make('nothing-left', { wave: id, why: wave.reason });
    if (wave.state === 'done') {
      await assertAlone(sql, wave.pool);
      const pool = await readPool(sql, wave.pool);
      if (pool?.otherGeneration == null)
        throw waveProblems.make('nothing-left', { wave: id, why: 'its sites have left the old image by another way' });
    }
    if (wave.pausedBy === null) {
      for (const row of again) await storeWaveSite(sql, row, { state: 'waiting', reason: `tried again by ${who.by}` });
    }
    const reason = who.reason ?? `${who.by} lets it go on`;
    await storeWave(sql, id, { state: 'running', reason, pausedBy: null, endsAs: null });
    await parts.events.append(sql, { kind: 'wave.resumed', subject: waveSubject(id), by: who.by, reason });
    return readExisting(sql, id);
  });
  parts.wake();
  return resumed;
}

export const abortSchema = z.strictObject({
  back: z.boolean().default(false).describe('Bring upgraded sites back to their snapshots'),
  acceptLoss: z.boolean().default(false).describe('What was entered on them since may be lost'),
});

/** Ends a wave: upgraded sites stay where they are, or go back with what was entered since lost, if that is accepted. */
export async function abortWave(
  parts: WaveParts,
  id: string,
  { back, acceptLoss }: z.infer<typeof abortSchema>,
  who: Asker,
): Promise<WaveRow> {
  const aborted = await parts.store.transaction(async (sql) => {
    const wave = await takeWave(sql, id);
    if (wave === undefined) throw commonProblems.make('not-found', { noun: 'wave', name: id });
    if (wave.state !== 'running' && wave.state !== 'stopped')
      throw waveProblems.make('not-under-way', { wave: id, state: wave.state, why: wave.reason });
    const upgraded = (await listWaveSites(sql, id)).filter(({ state }) => state === 'upgraded');
    const [first] = upgraded.toSorted((one, other) => ((one.endedAt ?? '') < (other.endedAt ?? '') ? -1 : 1));
    if (back && !acceptLoss && first !== undefined) {
      throw waveProblems.make('would-lose', { wave: id, sites: upgraded.length, since: first.endedAt ?? 'now' });
    }
    const spent = upgraded.filter(({ snapshot, reason }) => snapshot === null && !reason.startsWith('suspended'));
    if (back && spent.length > 0)
      throw waveProblems.make('no-way-back', { wave: id, sites: spent.length, first: spent[0]?.name ?? '' });
    const reason = who.reason ?? (back ? `aborted by ${who.by}; upgraded sites go back` : `aborted by ${who.by}`);
    await storeWave(sql, id, { state: 'running', reason, pausedBy: null, endsAs: 'aborted', goesBack: back });
    await parts.events.append(sql, { kind: 'wave.aborting', subject: waveSubject(id), by: who.by, reason });
    return readExisting(sql, id);
  });
  parts.wake();
  return aborted;
}
