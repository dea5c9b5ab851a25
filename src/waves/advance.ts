// Carries waves on. Wrong is: a running wave has a site whose turn has come and that nobody upgrades, or a pool has a second
// generation without sites. Level-triggered: it looks at the rows of the wave, at the operations and at the nodes, and does
// what is next; so it does not matter where a controller was killed.
import { endStates } from '../platform/operations/operation.ts';
import type { Json } from '../platform/store.ts';
import { listGenerations, sizeForShare } from '../pools/generations.ts';
import { nameOfImage } from '../pools/parts.ts';
import { listNodes, listPools, readPool, storeGenerationWanted } from '../pools/store.ts';
import { removeSnapshot } from '../sites/snapshots/take.ts';
import { listSites } from '../sites/store.ts';
import { beginUpgrade } from './begin-site.ts';
import { endAborted, finishWave, stopWave } from './end.ts';
import type { WaveParts } from './parts.ts';
import { judgeWave } from './plan.ts';
import {
  forgetSnapshot,
  listSpentSnapshots,
  listWaveSites,
  listWaves,
  readWaveSite,
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
  await tidyGenerations(parts, signal);
  for (const { wave, site, snapshot } of await listSpentSnapshots(parts.store)) {
    await removeSnapshot(parts.sites, { site, number: snapshot }, signal);
    await forgetSnapshot(parts.store, wave, site);
  }
  return did;
}

const UNDER_WAY: readonly WaveSiteRow['state'][] = ['upgrading', 'returning'];

async function advance(parts: WaveParts, wave: WaveRow): Promise<string> {
  const { store } = parts;
  if ((await readPool(store, wave.pool)) === undefined) {
    await storeWave(store, wave.id, { state: 'aborted', endsAs: null, reason: 'its pool is gone' });
    return 'its pool is gone';
  }
  await settleLost(parts, wave);
  const rows = await listWaveSites(store, wave.id);
  const busy = rows.filter(({ state }) => UNDER_WAY.includes(state)).length;
  if (wave.endsAs === 'aborted') return endAborted(parts, wave, rows, busy);
  const standing = judgeWave(wave, rows);
  const stops = wave.endsAs === 'stopped' ? wave.reason : standing.stops;
  if (stops !== undefined) return stopWave(parts, wave, stops, busy);
  if (wave.pausedBy !== null) return wave.reason;
  if (standing.batch === undefined) return finishWave(parts, wave, rows);
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
      const now = await readWaveSite(sql, wave.id, row.site);
      // Its last step may have ended since we looked.
      if (now === undefined || now.state !== row.state || now.operation !== row.operation) return;
      const reason = problem?.detail ?? `its operation was ${state}`;
      const needsPerson = state === 'fatal' || row.state === 'returning';
      await storeWaveSite(sql, row, { state: needsPerson ? 'stuck' : 'failed', reason });
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
