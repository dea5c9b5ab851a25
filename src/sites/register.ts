// What sites bring: their operations, the loops that remove what is past its time, their routes.
import type { House } from '../platform/house.ts';
import type { ApiRoutes } from '../platform/http.ts';
import { makeLoop } from '../platform/loops.ts';
import { makeSiteClone } from './clone.ts';
import { makeSiteCreate } from './create.ts';
import { makeSiteDelete } from './delete.ts';
import { makeSiteHold } from './hold.ts';
import { makeSiteHoldRoutes } from './hold-routes.ts';
import { makeSiteLimitRoutes } from './limit-routes.ts';
import { makeSiteSetLimits } from './limits.ts';
import { makeSiteMove } from './move.ts';
import { makeMoveAll } from './move-all.ts';
import { makeSiteMoveRoutes } from './move-routes.ts';
import type { SiteParts } from './parts.ts';
import { makeSitePurge, purgeDue } from './purge.ts';
import { makeSiteRoutes } from './routes.ts';
import { makeSiteSetHosts } from './set-hosts.ts';
import { makeSiteRestore } from './snapshots/restore.ts';
import { makeSnapshotRoutes } from './snapshots/routes.ts';
import { makeDeleteSnapshot, makeSiteSnapshot } from './snapshots/snapshot.ts';
import { makeStaging } from './stage.ts';
import { makeStagingRoutes } from './stage-routes.ts';
import { makeSiteResume, makeSiteSuspend } from './suspend.ts';
import { makeSiteAdopt } from './transfer/adopt.ts';
import { makeSiteExport, removeExpired } from './transfer/export.ts';
import { makeSiteImport } from './transfer/import.ts';
import { makeTransferRoutes } from './transfer/routes.ts';
import { removeOldUploads } from './transfer/uploads.ts';
import { makeUnstaging } from './unstage.ts';

/** Registers the room's operations and loops; gives its routes. */
export function registerSites({ operations, loops, whenUp }: House, parts: SiteParts): ApiRoutes[] {
  operations.register(makeSiteCreate(parts));
  operations.register(makeSiteSuspend(parts));
  operations.register(makeSiteResume(parts));
  operations.register(makeSiteSetHosts(parts));
  operations.register(makeSiteSetLimits(parts));
  operations.register(makeSiteClone(parts));
  operations.register(makeSiteMove(parts));
  operations.register(makeMoveAll(parts));
  operations.register(makeStaging(parts));
  operations.register(makeUnstaging(parts));
  operations.register(makeSiteHold(parts, 'mail'));
  operations.register(makeSiteHold(parts, 'hooks'));
  operations.register(makeSiteSnapshot(parts));
  operations.register(makeDeleteSnapshot(parts));
  operations.register(makeSiteRestore(parts));
  operations.register(makeSiteExport(parts));
  operations.register(makeSiteImport(parts));
  operations.register(makeSiteAdopt(parts));
  operations.register(makeSiteDelete(parts));
  operations.register(makeSitePurge(parts));
  loops.add(
    makeLoop({
      name: 'sites.purge',
      wrongWhen: 'an archived site is past its grace time and still there',
      // Who deletes without a grace time waits for it.
      everyMs: 5_000,
      timeoutMs: 30_000,
      runOnce: whenUp(() => purgeDue(parts)),
    }),
  );
  loops.add(
    makeLoop({
      name: 'sites.exports',
      wrongWhen: 'an export or an upload is older than a day and still there',
      everyMs: 60_000,
      timeoutMs: 30_000,
      runOnce: whenUp(async () => ({
        ...(await removeExpired(parts)),
        uploads: (await removeOldUploads(parts.uploadsDir, parts.pools.clock)).removed,
      })),
    }),
  );
  return [
    makeSiteRoutes(parts),
    makeSnapshotRoutes(parts),
    makeSiteMoveRoutes(parts),
    makeStagingRoutes(parts),
    makeSiteHoldRoutes(parts),
    makeSiteLimitRoutes(parts),
    makeTransferRoutes(parts),
  ];
}
