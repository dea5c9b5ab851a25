// Begins the operation of one site of a wave, with its row in the same transaction: whoever looks at the same time sees both or
// neither. Apart from the loop that says whose turn it is.
import { Problem } from '../lib/errors.ts';
import type { Sql } from '../platform/store.ts';
import { nameOfImage } from '../pools/parts.ts';
import { readSite } from '../sites/store.ts';
import { type WaveParts, waveSubject } from './parts.ts';
import { readWaveSite, storeWaveSite, takeWave, type WaveRow, type WaveSiteRow } from './store.ts';

/** Begins one site's upgrade; false when somebody else works on it, and when there is nothing to upgrade. */
export async function beginUpgrade(parts: WaveParts, wave: WaveRow, row: WaveSiteRow): Promise<boolean> {
  const image = nameOfImage(wave.app, wave.toImage);
  return orWhenLocked(parts, row, async (sql) => {
    const now = await takeWave(sql, wave.id);
    if (now?.state !== 'running' || now.endsAs !== null || now.pausedBy !== null) return false;
    if ((await readWaveSite(sql, wave.id, row.site))?.state !== 'waiting') return false;
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
export async function beginReturn(parts: WaveParts, wave: WaveRow, row: WaveSiteRow): Promise<boolean> {
  const image = nameOfImage(wave.app, wave.fromImage);
  return orWhenLocked(parts, row, async (sql) => {
    if ((await takeWave(sql, wave.id))?.endsAs !== 'aborted') return false;
    if ((await readWaveSite(sql, wave.id, row.site))?.state !== 'upgraded') return false;
    const site = await readSite(sql, row.site);
    if (site === undefined || site.generation === wave.fromGeneration) {
      await storeWaveSite(sql, row, {
        state: 'returned',
        reason: site === undefined ? 'it is gone' : `it is on ${image}`,
      });
      return false;
    }
    const closed = site.state === 'suspended' && site.upgradeOwed;
    if (!closed && (site.state === 'suspended' || row.snapshot === null)) {
      const reason =
        row.snapshot === null ? 'its snapshot is gone' : 'it was suspended since: resume it, then restore it';
      await storeWaveSite(sql, row, { state: 'stuck', reason });
      return false;
    }
    if (!closed && site.state !== 'ready') return false;
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
  begin: (sql: Sql) => Promise<boolean>,
): Promise<boolean> {
  try {
    return await parts.store.transaction(begin);
  } catch (thrown) {
    if (!(thrown instanceof Problem && thrown.code === 'operations.locked')) throw thrown;
    const reason = thrown.document.detail;
    await parts.store.transaction(async (sql) => {
      await takeWave(sql, row.wave);
      const now = await readWaveSite(sql, row.wave, row.site);
      if (now?.state === 'waiting') await storeWaveSite(sql, row, { state: 'waiting', reason });
    });
    return false;
  }
}
