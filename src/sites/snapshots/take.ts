// Takes a snapshot of a site and removes one. Functions that any operation may call as a step (an upgrade, a restore), and
// below them the operations for people. The database is read in one transaction, the files are copied by shared blocks in
// the same moment, while the site serves on: what a customer uploads within that second is in one of them or in both.
import { commonProblems } from '../../lib/errors.ts';
import type { Step } from '../../platform/operations/operation.ts';
import { assertDisk } from '../../servers/room.ts';
import { SITE_DISK_MB } from '../admit.ts';
import { COPY_MS, folderOf, renderKeep, renderRemoveKept, runAsRoot, SNAPSHOTS_PATH } from '../files.ts';
import { readImageNumberOf } from '../image-of.ts';
import type { SiteParts } from '../parts.ts';
import { readSite, type SiteRow } from '../store.ts';
import { snapshotProblems } from './problems.ts';
import {
  deleteSnapshot,
  insertSnapshot,
  listSnapshots,
  listSnapshotsOf,
  readSnapshot,
  type SnapshotRow,
  storeSnapshotReady,
  storeSnapshotState,
} from './store.ts';

/** Of a dump and a copy together; each has its own bound as well. */
export const SNAPSHOT_MS = COPY_MS;
/** Each holds the blocks of files that were deleted since, and a dump of its own. */
export const MOST_SNAPSHOTS = 50;

/** What to take a snapshot of, for which operation, and why. */
export interface SnapshotWish {
  site: string;
  operation: string;
  /** Shown in lists; with the operation it names the snapshot: asked for twice, one is taken. */
  reason: string;
  by: string;
}

export type PlacedSite = SiteRow & { databaseServer: string };

/** A site that has its database. */
export async function readPlacedSite(parts: SiteParts, id: string): Promise<PlacedSite> {
  const site = await readSite(parts.store, id);
  if (site?.databaseServer == null) throw commonProblems.make('not-found', { noun: 'site', name: id });
  return { ...site, databaseServer: site.databaseServer };
}

/** Where a snapshot's files lie in every node of its pool. */
export const keptFilesOf = ({ site, number }: Pick<SnapshotRow, 'site' | 'number'>): string =>
  `${SNAPSHOTS_PATH}/${site}-${number}`;

const dumpNameOf = ({ site, number }: Pick<SnapshotRow, 'site' | 'number'>): string =>
  `${site}-snapshot-${number}.sql.zst`;

/** Throws when the site has as many as it may, or the disk has no room for another. */
export async function assertRoomForSnapshot(parts: SiteParts, site: PlacedSite): Promise<void> {
  const all = await listSnapshots(parts.store, site.id);
  if (all.length >= MOST_SNAPSHOTS) throw snapshotProblems.make('too-many', { site: site.name, most: MOST_SNAPSHOTS });
  await assertDisk(parts.pools.fleet, SITE_DISK_MB);
}

/** Takes one; whole when this resolves. Run again after it was cut off, it begins anew under the same number. */
export async function takeSnapshot(parts: SiteParts, wish: SnapshotWish, signal: AbortSignal): Promise<SnapshotRow> {
  const { store, databases } = parts;
  const site = await readPlacedSite(parts, wish.site);
  const number = await store.transaction(async (sql) => {
    return insertSnapshot(sql, {
      ...{ site: site.id, operation: wish.operation, reason: wish.reason, madeBy: wish.by, pool: site.pool },
      ...{ databaseServer: site.databaseServer, hosts: site.hosts, title: site.title, settings: site.settings },
      imageNumber: await readImageNumberOf(sql, site),
    });
  });
  const snapshot = { site: site.id, number };
  const known = await readSnapshot(store, site.id, number);
  if (known?.state === 'ready') return known;
  const kept = keptFilesOf(snapshot);
  const toProblem = (why: string) => snapshotProblems.make('copy-failed', { site: site.name, why });
  const [dump] = await Promise.all([
    databases.dump(site.databaseServer, site.id, dumpNameOf(snapshot), signal),
    runAsRoot(parts, site.pool, renderKeep(folderOf(site.id), kept), toProblem, signal),
  ]);
  const size = await runAsRoot(
    parts,
    site.pool,
    [{ argv: ['du', '--summarize', '--apparent-size', '--block-size=1', kept] }],
    toProblem,
    signal,
  );
  await storeSnapshotReady(store, snapshot, { dump: { ...dump }, filesBytes: Number.parseInt(size, 10) || 0 });
  const taken = await readSnapshot(store, site.id, number);
  if (taken === undefined) throw commonProblems.make('not-found', { noun: 'snapshot', name: `${number}` });
  return taken;
}

/** Removes one with all its parts; one that is gone is fine. */
export async function removeSnapshot(
  parts: SiteParts,
  snapshot: Pick<SnapshotRow, 'site' | 'number'>,
  signal: AbortSignal,
): Promise<void> {
  const { store, databases } = parts;
  const found = await readSnapshot(store, snapshot.site, snapshot.number);
  if (found === undefined) return;
  await storeSnapshotState(store, found, 'removing');
  const path = databases.dumpPath(dumpNameOf(found));
  await databases.removeDump(found.databaseServer, path, signal);
  const toProblem = (why: string) => snapshotProblems.make('copy-failed', { site: found.site, why });
  await runAsRoot(parts, found.pool, renderRemoveKept(keptFilesOf(found)), toProblem, signal);
  await deleteSnapshot(store, found);
}

/** Removes what an operation took of a site: for the undo of a step that takes. */
export async function removeSnapshotsOf(
  parts: SiteParts,
  site: string,
  operation: string,
  signal: AbortSignal,
): Promise<void> {
  for (const one of await listSnapshotsOf(parts.store, site, operation)) await removeSnapshot(parts, one, signal);
}

/** A step that takes a snapshot; its output is `{ number }`. Undone, the snapshot is gone. */
export function makeSnapshotStep(
  parts: SiteParts,
  { site, reason, by }: Pick<SnapshotWish, 'site' | 'reason' | 'by'>,
): Step {
  return {
    name: 'snapshot',
    timeoutMs: SNAPSHOT_MS,
    async do({ operationId, signal }) {
      const { number, dump, filesBytes } = await takeSnapshot(
        parts,
        { site, operation: operationId, reason, by },
        signal,
      );
      return { number, databaseBytes: dump?.bytes ?? 0, filesBytes };
    },
    undo: ({ operationId, signal }) => removeSnapshotsOf(parts, site, operationId, signal),
  };
}
