// Takes the second generation of a pool away when no site is on it and no wave brings any: its nodes leave, its directories on
// the servers go, and the pool has one image again.

import { removeDirectories } from '../pools/create.ts';
import { poolLock } from '../pools/parts.ts';
import {
  listNodes,
  listPools,
  type PoolRow,
  readPool,
  storeGenerationWanted,
  storeOtherGeneration,
} from '../pools/store.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { listSites } from '../sites/store.ts';
import type { WaveParts } from './parts.ts';
import { readOpenWave } from './store.ts';

/** One look at all pools with two generations. */
export async function tidyGenerations(parts: WaveParts, signal: AbortSignal): Promise<void> {
  for (const pool of await listPools(parts.store)) {
    if (pool.otherGeneration !== null) await tidy(parts, pool, pool.otherGeneration, signal);
  }
}

async function tidy(parts: WaveParts, pool: PoolRow, generation: number, signal: AbortSignal): Promise<void> {
  const { store } = parts;
  const served = pool.worksFor ?? pool.name;
  const isNeeded = await store.transaction(async (sql) => {
    if ((await readOpenWave(sql, served)) !== undefined) return true;
    const sites = await listSites(sql, { pool: served, generation });
    if (sites.length > 0) return true;
    if (pool.otherWanted !== 0) await storeGenerationWanted(sql, pool.name, generation, 0);
    return false;
  });
  if (isNeeded) return;
  if (pool.otherWanted !== 0) parts.pools.wakeHeal();
  const nodes = await listNodes(store, { pool: pool.name });
  if (nodes.some((node) => node.generation === generation)) return;
  if (pool.worksFor === null) {
    const workers = (await listPools(store)).filter((one) => one.worksFor === pool.name);
    // Theirs go first: they have the same directories.
    if (workers.some((one) => one.otherGeneration === generation)) return;
    await removeDirectories(parts.pools, pool.name, signal, generation);
  }
  await changeConfig(store, async (sql) => {
    if ((await readPool(sql, pool.name))?.otherGeneration !== generation) return;
    if ((await readOpenWave(sql, served)) !== undefined) return;
    await storeOtherGeneration(sql, pool.name, null);
    const reason = `every node has the image ${pool.imageNumber}`;
    await parts.events.append(sql, { kind: 'pool.one-image', subject: poolLock(pool.name), by: 'waves', reason });
  });
  await parts.pools.syncEdges(signal);
}
