// Deletes a site in two parts: at once it is closed, backed up and locked (archived); after its grace time it is purged.
// Within the grace time `espalier site resume` brings it back.
import { z } from 'zod';
import { DUMPS_PATH } from '../databases/kind.ts';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { BACKUPS_PATH } from '../pools/parts.ts';
import { enterState, readServingNodes } from './nodes.ts';
import { type SiteParts, siteLock } from './parts.ts';
import { siteProblems } from './problems.ts';
import { readSite, type SiteBackup, type SiteRow, storeArchived } from './store.ts';

/** Long enough to notice a mistake after a holiday weekend. */
export const DEFAULT_GRACE_S = 7 * 24 * 3600;

const paramsSchema = z.object({
  site: z.string(),
  name: z.string(),
  graceS: z.int().min(0),
  before: z.enum(['ready', 'suspended']),
});
type Params = z.infer<typeof paramsSchema>;

const BACKUP_MS = 1_800_000;

/** Begins `site.delete` in the caller's transaction. */
export async function startSiteDelete(
  parts: SiteParts,
  sql: Sql,
  idOrName: string,
  graceS: number,
  who: Asker,
): Promise<Operation> {
  const site = await readSite(sql, idOrName);
  if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name: idOrName });
  if (site.state !== 'ready' && site.state !== 'suspended') {
    throw siteProblems.make('wrong-state', {
      site: site.name,
      state: site.state,
      verb: 'delete',
      needed: 'ready or suspended',
    });
  }
  return parts.operations.start(
    sql,
    'site.delete',
    { site: site.id, name: site.name, graceS, before: site.state },
    who,
  );
}

/** The operation `site.delete`. */
export function makeSiteDelete(parts: SiteParts): OperationKind<Params> {
  const { store, databases, events } = parts;
  const read = async (id: string): Promise<SiteRow & { databaseServer: string }> => {
    const site = await readSite(store, id);
    if (site?.databaseServer == null) throw commonProblems.make('not-found', { noun: 'site', name: id });
    return { ...site, databaseServer: site.databaseServer };
  };
  return makeOperation<Params>({
    kind: 'site.delete',
    params: paramsSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name }) => `Delete the site ${name}`,
    steps: ({ site: id, graceS, before }) => [
      {
        name: 'close',
        timeoutMs: 60_000,
        do: async ({ signal }) =>
          enterState(
            parts,
            await read(id),
            { state: 'suspended', reason: 'it is being deleted', first: 'edges' },
            signal,
          ),
        undo: async ({ signal }) =>
          enterState(parts, await read(id), { state: before, reason: 'its deletion failed', first: 'nodes' }, signal),
      },
      {
        name: 'lock-database',
        timeoutMs: 60_000,
        do: async ({ signal }) => databases.lockSite((await read(id)).databaseServer, id, signal),
        async undo({ signal }) {
          if (before === 'ready') await databases.unlockSite((await read(id)).databaseServer, id, signal);
        },
      },
      {
        name: 'backup',
        timeoutMs: BACKUP_MS,
        async do({ signal, operationId }) {
          const site = await read(id);
          const files = await packFiles(parts, site, filesPath(id, operationId), signal);
          const dump = await databases.dump(site.databaseServer, id, dumpName(id, operationId), signal);
          return { dump: { ...dump }, files };
        },
        async undo({ signal, operationId }) {
          const site = await read(id);
          await databases.removeDump(site.databaseServer, `${DUMPS_PATH}/${dumpName(id, operationId)}`, signal);
          await removeFiles(parts, site, filesPath(id, operationId), signal);
        },
      },
      {
        name: 'archive',
        timeoutMs: 60_000,
        async do({ signal, outputs }) {
          const site = await read(id);
          const { dump, files } = outputs.backup as Pick<SiteBackup, 'dump' | 'files'>;
          const at = new Date(parts.pools.clock.nowMs()).toISOString();
          const backup = { databaseServer: site.databaseServer, dump, files, at };
          const reason =
            graceS === 0 ? 'deleted; it is purged next' : `deleted; everything is kept until ${untilOf(parts, graceS)}`;
          await storeArchived(store, id, { backup, graceS });
          await enterState(parts, site, { state: 'archived', reason, first: 'edges' }, signal);
          await events.append(store, { kind: 'site.archived', subject: siteLock(id), by: 'operation', reason });
        },
      },
    ],
  });
}

const dumpName = (site: string, operation: string): string => `${site}-${operation}.sql.zst`;
const filesPath = (site: string, operation: string): string => `${BACKUPS_PATH}/${site}-${operation}.tar.gz`;

/** Packs what the site's customers uploaded, through one ready node; the file has its name only when it is whole. */
async function packFiles(parts: SiteParts, site: SiteRow, path: string, signal: AbortSignal): Promise<string> {
  const [node] = await readServingNodes(parts, site);
  for (const argv of [
    ['install', '--directory', '--mode=0700', BACKUPS_PATH],
    ['tar', '--create', '--gzip', `--file=${path}.part`, '--directory=/srv/content', site.id],
    ['mv', `${path}.part`, path],
  ]) {
    const { code, stderr } = await parts.pools.fleet.exec(node.name, argv, { signal, timeoutMs: BACKUP_MS });
    if (code !== 0) throw siteProblems.make('archive-failed', { site: site.name, why: stderr.trim().slice(-500) });
  }
  return path;
}

async function removeFiles(parts: SiteParts, site: SiteRow, path: string, signal: AbortSignal): Promise<void> {
  const [node] = await readServingNodes(parts, site);
  await parts.pools.fleet.exec(node.name, ['rm', '--force', path, `${path}.part`], { signal });
}

/** The moment at which the grace time ends, to the minute. */
const untilOf = (parts: SiteParts, graceS: number): string =>
  new Date(parts.pools.clock.nowMs() + graceS * 1000).toISOString().replace(/:\d\d\.\d+Z$/, 'Z');
