// Makes a site hold what a snapshot holds: its database and its files, and a cache that knows nothing of what was between.
// For a site that is closed: its database account locked, no task running. Functions that any operation may call in a step
// or in an undo. Its rows (hosts, limits, state) and its code are the caller's business.
import { commonProblems } from '../../lib/errors.ts';
import { renderPutBack, runAsRoot } from '../files.ts';
import { type SiteParts, secretsOf } from '../parts.ts';
import type { SiteRow } from '../store.ts';
import { snapshotProblems } from './problems.ts';
import { listSnapshots, readSnapshot, type SnapshotRow } from './store.ts';
import { keptFilesOf, type PlacedSite, readPlacedSite } from './take.ts';

export type WholeSnapshot = SnapshotRow & { dump: NonNullable<SnapshotRow['dump']> };

/** A snapshot that is whole and lies where the site is; otherwise the problem that says why not. */
export async function readUsableSnapshot(parts: SiteParts, site: SiteRow, number: number): Promise<WholeSnapshot> {
  const found = await readSnapshot(parts.store, site.id, number);
  if (found?.state !== 'ready' || found.dump === null) {
    const known = (await listSnapshots(parts.store, site.id)).filter(({ state }) => state === 'ready');
    const names = known.map((one) => `${one.number}`).join(', ') || 'none';
    throw snapshotProblems.make('none', { site: site.name, number, known: names });
  }
  for (const [there, here] of [
    [`the pool ${found.pool}`, `the pool ${site.pool}`],
    [`the database server ${found.databaseServer}`, `the database server ${site.databaseServer}`],
  ] as const) {
    if (there !== here) throw snapshotProblems.make('elsewhere', { site: site.name, number, there, here });
  }
  return { ...found, dump: found.dump };
}

/** Puts database and files back, and empties the cache. Safe to repeat. */
export async function putBack(parts: SiteParts, siteId: string, number: number, signal: AbortSignal): Promise<void> {
  const site = await readPlacedSite(parts, siteId);
  const snapshot = await readUsableSnapshot(parts, site, number);
  const toProblem = (why: string) => snapshotProblems.make('copy-failed', { site: site.name, why });
  await Promise.all([
    parts.databases.restore(site.databaseServer, site.id, snapshot.dump, signal),
    runAsRoot(parts, site.pool, renderPutBack(keptFilesOf(snapshot), site.id), toProblem, signal),
  ]);
  await emptyCache(parts, site, signal);
}

/** Deletes every key of the site; its account stays as it was. Who was logged in logs in again. */
export async function emptyCache(parts: SiteParts, site: PlacedSite, signal: AbortSignal): Promise<void> {
  if (site.cacheServer === null) throw commonProblems.make('not-found', { noun: 'cache of', name: site.name });
  const password = await parts.secrets.read(parts.store, `${secretsOf(site.id)}cache-password`);
  const account = { name: site.id, prefix: `${site.id}:` };
  await parts.caches.removeSite(site.cacheServer, account, signal);
  await parts.caches.setSite(site.cacheServer, { ...account, password }, signal);
}
