// Carries waves on. Wrong is: a running wave has a site whose turn has come and that nobody upgrades, or a pool has a second
// generation without sites. Level-triggered: it looks at the rows of the wave, at the operations and at the nodes, and does
// what is next; so it does not matter where a controller was killed.
import { Problem } from '../lib/errors.ts';
import { endStates } from '../platform/operations/operation.ts';
import type { Json, Sql } from '../platform/store.ts';
import { listGenerations, sizeForShare } from '../pools/generations.ts';
import { nameOfImage, poolLock } from '../pools/parts.ts';
import { exchangeGenerations, listNodes, listPools, readPool, storeGenerationWanted } from '../pools/store.ts';
import { removeSnapshot } from '../sites/snapshots/take.ts';
import { listSites, moveClosedSites, readSite } from '../sites/store.ts';
import { type WaveParts, waveSubject } from './parts.ts';
import { judgeWave } from './plan.ts';
import {
  forgetSnapshot,
  insertWaveSites,
  listSpentSnapshots,
  listWaveSites,
  listWaves,
  storeWave,
  storeWaveSite,
  takeWave,
  type WaveRow,
  type WaveSiteRow,
} from './store.ts';
import { tidyGenerations } from './tidy.ts';

export const WAVES_LOOP = 'waves.advance';

/** One look at all waves; says of each what it does. */
export async function advanceWaves(parts: WaveParts, signal: AbortSignal): Promise<Json> {
  const did: Record<string, Json> = {};
  for (const wave of await listWaves(parts.store, { state: 'running' })) {
    signal.throwIfAborted();
    did[wave.id] = await advance(parts, wave);
  }
  for (const { wave, site, snapshot } of await listSpentSnapshots(parts.store)) {
    await removeSnapshot(parts.sites, { site, number: snapshot }, signal);
    await forgetSnapshot(parts.store, wave, site);
  }
  await tidyGenerations(parts, signal);
  return did;
}

const UNDER_WAY: readonly WaveSiteRow['state'][] = ['upgrading', 'returning'];

async function advance(parts: WaveParts, wave: WaveRow): Promise<string> {
  const { store } = parts;
  await settleLost(parts, wave);
  const rows = await listWaveSites(store, wave.id);
  const busy = rows.filter(({ state }) => UNDER_WAY.includes(state)).length;
  if (wave.endsAs === 'aborted') return abortOn(parts, wave, rows, busy);
  const standing = judgeWave(wave, rows);
  const stops = wave.endsAs === 'stopped' ? wave.reason : standing.stops;
  if (stops !== undefined) return stop(parts, wave, stops, busy);
  if (wave.pausedBy !== null) return wave.reason;
  if (standing.batch === undefined) return finish(parts, wave, rows);
  const missing = await makeRoom(parts, wave, rows, standing.batch);
  if (missing !== undefined) return tell(parts, wave, missing);
  const waiting = rows.filter(({ state, batch }) => state === 'waiting' && batch === standing.batch);
  let free = wave.atOnce - busy;
  for (const row of waiting) {
    if (free <= 0) break;
    if (await beginUpgrade(parts, wave, row)) free -= 1;
  }
  const [title, done] = [wave.batches[standing.batch] ?? '', rows.filter(({ state }) => state === 'upgraded').length];
  const place = `batch ${standing.batch + 1} of ${wave.batches.length} (${title})`;
  const failed = standing.failed === 0 ? '' : `, ${standing.failed} brought back`;
  return tell(parts, wave, `${place}: ${done} of ${rows.length} sites upgraded${failed}`);
}

async function tell(parts: WaveParts, wave: WaveRow, reason: string): Promise<string> {
  // A person may have paused or ended it meanwhile, and says why.
  await parts.store.transaction(async (sql) => {
    const now = await takeWave(sql, wave.id);
    const isAsBefore = now?.state === 'running' && now.pausedBy === wave.pausedBy && now.endsAs === wave.endsAs;
    if (isAsBefore && now.reason !== reason) await storeWave(sql, wave.id, { reason });
  }, 'read committed');
  return reason;
}

/** Sites whose operation has ended without a word: one that a person cancelled before it began, or that needs a person. */
async function settleLost(parts: WaveParts, wave: WaveRow): Promise<void> {
  const { store, operations } = parts;
  for (const row of await listWaveSites(store, wave.id)) {
    if (!UNDER_WAY.includes(row.state) || row.operation === null) continue;
    const { state, problem } = await operations.read(row.operation);
    if (!endStates.includes(state)) continue;
    await store.transaction(async (sql) => {
      const now = (await listWaveSites(sql, wave.id)).find(({ site }) => site === row.site);
      // Its last step may have ended since we looked.
      if (now === undefined || now.state !== row.state || now.operation !== row.operation) return;
      const reason = problem?.detail ?? `its operation was ${state}`;
      const bad = row.state === 'returning' ? 'upgraded' : 'failed';
      await storeWaveSite(sql, row, { state: state === 'fatal' ? 'stuck' : bad, reason });
    });
  }
}

/** Gives the new generation the nodes that its share of the sites needs; says what is missing. */
async function makeRoom(
  parts: WaveParts,
  wave: WaveRow,
  rows: readonly WaveSiteRow[],
  batch: number,
): Promise<string | undefined> {
  const { store } = parts;
  const sites = await listSites(store, { pool: wave.pool });
  const coming = rows.filter((row) => row.batch <= batch && (row.state === 'waiting' || row.state === 'upgrading'));
  const there = sites.filter(({ generation }) => generation === wave.toGeneration).length;
  const share = Math.min(1, (there + coming.length) / Math.max(1, sites.length));
  for (const pool of await listPools(store)) {
    if (pool.name !== wave.pool && pool.worksFor !== wave.pool) continue;
    const mine = listGenerations(pool).find(({ generation }) => generation === wave.toGeneration);
    if (mine === undefined) return `${pool.name} has no nodes of ${nameOfImage(wave.app, wave.toImage)} any more`;
    const size = sizeForShare(Math.max(pool.wanted, mine.wanted), share);
    if (mine.wanted < size) {
      await storeGenerationWanted(store, pool.name, wave.toGeneration, size);
      parts.pools.wakeHeal();
    }
    const nodes = (await listNodes(store, { pool: pool.name })).filter((node) => node.generation === wave.toGeneration);
    const ready = nodes.filter(({ state }) => state === 'ready').length;
    if (ready >= Math.max(size, mine.wanted)) continue;
    const odd = nodes.find(({ state }) => state !== 'ready');
    const why = odd === undefined ? await readFailure(parts, pool.name) : `${odd.name} is ${odd.state}: ${odd.reason}`;
    const image = nameOfImage(wave.app, wave.toImage);
    return `waits for nodes: ${ready} of ${Math.max(size, mine.wanted)} of ${pool.name} with ${image} serve; ${why}`;
  }
  return undefined;
}

/** Why the last node could not be made. */
async function readFailure(parts: WaveParts, pool: string): Promise<string> {
  const { items } = await parts.operations.list({ kind: 'node.create', limit: 20 });
  const last = items.find(({ params }) => (params as { pool?: string }).pool === pool);
  return last?.problem?.detail ?? 'they are being made';
}

/** Begins one site's upgrade; false when somebody else works on it, and when there is nothing to upgrade. */
async function beginUpgrade(parts: WaveParts, wave: WaveRow, row: WaveSiteRow): Promise<boolean> {
  const image = nameOfImage(wave.app, wave.toImage);
  return orWhenLocked(parts, row, 'waiting', async (sql) => {
    const now = await takeWave(sql, wave.id);
    if (now?.state !== 'running' || now.endsAs !== null || now.pausedBy !== null) return false;
    const site = await readSite(sql, row.site);
    if (site === undefined || site.pool !== wave.pool || site.state === 'archived' || site.state === 'failed') {
      const reason = site === undefined ? 'it is gone' : `it is ${site.state}, on ${site.pool}`;
      await storeWaveSite(sql, row, { state: 'skipped', reason });
      return false;
    }
    if (site.generation === wave.toGeneration) {
      await storeWaveSite(sql, row, { state: 'upgraded', reason: `it is on ${image} already` });
      return false;
    }
    if (site.state !== 'ready' && site.state !== 'suspended') return false;
    const params = {
      ...{ wave: wave.id, site: site.id, name: site.name, image, pages: wave.checkPages },
      ...{ from: site.generation, to: wave.toGeneration, closed: site.state === 'suspended' },
    };
    const { id } = await parts.operations.start(
      sql,
      'site.upgrade',
      params,
      askerOf(wave, `its turn in the wave ${wave.id}`),
    );
    await storeWaveSite(sql, row, { state: 'upgrading', reason: `on its way to ${image}`, operation: id });
    return true;
  });
}

/** Begins to bring an upgraded site back. */
async function beginReturn(parts: WaveParts, wave: WaveRow, row: WaveSiteRow): Promise<boolean> {
  const image = nameOfImage(wave.app, wave.fromImage);
  return orWhenLocked(parts, row, 'upgraded', async (sql) => {
    const site = await readSite(sql, row.site);
    if (site === undefined || site.generation === wave.fromGeneration) {
      await storeWaveSite(sql, row, {
        state: 'returned',
        reason: site === undefined ? 'it is gone' : `it is on ${image}`,
      });
      return false;
    }
    const closed = site.state === 'suspended' && site.upgradeOwed;
    if (!closed && (site.state !== 'ready' || row.snapshot === null)) return false;
    const params = {
      ...{ wave: wave.id, site: site.id, name: site.name, image, pages: wave.checkPages, snapshot: row.snapshot ?? 0 },
      ...{ from: site.generation, to: wave.fromGeneration, closed },
    };
    const { id } = await parts.operations.start(sql, 'site.return', params, askerOf(wave, wave.reason));
    await storeWaveSite(sql, row, { state: 'returning', reason: wave.reason, operation: id });
    return true;
  });
}

const askerOf = (wave: WaveRow, reason: string) => ({ by: waveSubject(wave.id), reason });

/** Begins in a transaction; who works on the site is named in the row, and it is tried again at the next look. */
async function orWhenLocked(
  parts: WaveParts,
  row: WaveSiteRow,
  state: 'waiting' | 'upgraded',
  begin: (sql: Sql) => Promise<boolean>,
): Promise<boolean> {
  try {
    return await parts.store.transaction(begin);
  } catch (thrown) {
    if (!(thrown instanceof Problem && thrown.code === 'operations.locked')) throw thrown;
    if (state === 'waiting') await storeWaveSite(parts.store, row, { state, reason: thrown.document.detail });
    return false;
  }
}

async function stop(parts: WaveParts, wave: WaveRow, why: string, busy: number): Promise<string> {
  await parts.store.transaction(async (sql) => {
    const now = await takeWave(sql, wave.id);
    if (now?.state !== 'running' || now.endsAs === 'aborted') return;
    if (busy > 0) return storeWave(sql, wave.id, { endsAs: 'stopped', reason: why });
    await storeWave(sql, wave.id, { state: 'stopped', endsAs: null, pausedBy: null, reason: why });
    for (const subject of [waveSubject(wave.id), poolLock(wave.pool)])
      await parts.events.append(sql, {
        kind: 'wave.stopped',
        subject,
        by: 'waves',
        reason: why,
        data: { wave: wave.id },
      });
  });
  return why;
}

async function abortOn(parts: WaveParts, wave: WaveRow, rows: readonly WaveSiteRow[], busy: number): Promise<string> {
  const { store } = parts;
  // Those that could not be brought back say so in their reason, and are tried again at the next look.
  const back = wave.goesBack ? rows.filter(({ state }) => state === 'upgraded') : [];
  let free = wave.atOnce - busy;
  for (const row of back) {
    if (free <= 0) break;
    if (await beginReturn(parts, wave, row)) free -= 1;
  }
  if (busy > 0 || back.length > 0) return wave.reason;
  await store.transaction(async (sql) => {
    const upgraded = (await listSites(sql, { pool: wave.pool, generation: wave.toGeneration })).length;
    // It had been done once, and the new image was the pool's.
    if (upgraded === 0) await exchange(sql, wave, wave.fromGeneration, 0);
    const image = nameOfImage(wave.app, wave.toImage);
    const rest = upgraded === 0 ? `no site is on ${image}` : `${upgraded} sites stay on ${image}`;
    const reason = `${wave.reason}; ${rest}`;
    await storeWave(sql, wave.id, { state: 'aborted', endsAs: null, reason });
    for (const subject of [waveSubject(wave.id), poolLock(wave.pool)])
      await parts.events.append(sql, { kind: 'wave.aborted', subject, by: 'waves', reason, data: { wave: wave.id } });
  });
  return 'aborted';
}

/** Every site was tried. Those that came meanwhile are a last batch; then the new image is the pool's. */
async function finish(parts: WaveParts, wave: WaveRow, rows: readonly WaveSiteRow[]): Promise<string> {
  const { store } = parts;
  return store.transaction(async (sql) => {
    const now = await takeWave(sql, wave.id);
    const pool = await readPool(sql, wave.pool);
    if (now?.state !== 'running' || now.endsAs !== null || pool === undefined) return 'it was ended';
    const old = await listSites(sql, { pool: wave.pool, generation: wave.fromGeneration });
    const known = new Set(rows.map(({ site }) => site));
    const came = old.filter(({ id, state }) => !known.has(id) && state !== 'archived' && state !== 'failed');
    const image = nameOfImage(wave.app, wave.toImage);
    if (wave.whole && came.length > 0) {
      const batch = wave.batches.length;
      await storeWave(sql, wave.id, { batches: [...wave.batches, 'came meanwhile'] });
      await insertWaveSites(
        sql,
        wave.id,
        came.map(({ id, name }) => ({ site: id, name, batch })),
      );
      return `${came.length} sites came meanwhile`;
    }
    const failed = rows.filter(({ state }) => state === 'failed').length;
    const upgraded = rows.filter(({ state }) => state === 'upgraded').length;
    const left = came.length + failed;
    const isOver = came.length === 0;
    if (isOver) {
      await moveClosedSites(sql, wave.pool, wave.fromGeneration, wave.toGeneration);
      await exchange(sql, wave, wave.toGeneration, failed / Math.max(1, rows.length));
    }
    const rest =
      left === 0
        ? 'every site of the pool'
        : `${upgraded} sites; ${left} are on ${nameOfImage(wave.app, wave.fromImage)} as before`;
    const reason = `${image} has ${rest}`;
    await storeWave(sql, wave.id, { state: 'done', reason });
    for (const subject of [waveSubject(wave.id), poolLock(wave.pool)])
      await parts.events.append(sql, { kind: 'wave.done', subject, by: 'waves', reason, data: { wave: wave.id } });
    return reason;
  });
}

/** Makes a generation the pool's own, and its workers'. The other keeps nodes for its share of the sites. */
async function exchange(sql: Sql, wave: WaveRow, generation: number, leftShare: number): Promise<void> {
  for (const pool of await listPools(sql)) {
    if (pool.name !== wave.pool && pool.worksFor !== wave.pool) continue;
    if (pool.otherGeneration !== generation) continue;
    await exchangeGenerations(sql, pool.name, leftShare === 0 ? 0 : sizeForShare(pool.wanted, leftShare));
  }
}
