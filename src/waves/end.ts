// How waves end: stopped by their rule, aborted by a person, or done. Apart from the loop that carries them on until then.
import type { Sql } from '../platform/store.ts';
import { sizeForShare } from '../pools/generations.ts';
import { nameOfImage, poolLock } from '../pools/parts.ts';
import { exchangeGenerations, listPools, readPool } from '../pools/store.ts';
import { listSites, moveClosedSites } from '../sites/store.ts';
import { beginReturn } from './begin-site.ts';
import { type WaveParts, waveSubject } from './parts.ts';
import { insertWaveSites, storeWave, takeWave, type WaveRow, type WaveSiteRow } from './store.ts';

/** Ends a wave that must not go on: what is under way ends first. */
export async function stopWave(parts: WaveParts, wave: WaveRow, why: string, busy: number): Promise<string> {
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

/** Ends an aborted wave: what is under way ends, upgraded sites go back if that was asked for. */
export async function endAborted(
  parts: WaveParts,
  wave: WaveRow,
  rows: readonly WaveSiteRow[],
  busy: number,
): Promise<string> {
  const { store } = parts;
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
export async function finishWave(parts: WaveParts, wave: WaveRow, rows: readonly WaveSiteRow[]): Promise<string> {
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
