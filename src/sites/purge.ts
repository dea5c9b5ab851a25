// Removes an archived site for good, when its grace time is over: its database, cache, files, secrets and names. The final
// backup stays. State is wrong when an archived site is past its time and still there (loop `sites.purge`).
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { isHeld } from '../platform/operations/list-all.ts';
import { makeOperation, type OperationKind } from '../platform/operations/operation.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { type SiteParts, secretsOf, siteLock } from './parts.ts';
import { siteProblems } from './problems.ts';
import { removeContent } from './remove-content.ts';
import { listSnapshots } from './snapshots/store.ts';
import { removeSnapshot } from './snapshots/take.ts';
import { deleteSite, listDueForPurge, readSite, storeSiteState } from './store.ts';

const paramsSchema = z.object({ site: z.string(), name: z.string() });
type Params = z.infer<typeof paramsSchema>;

/** The operation `site.purge`. */
export function makeSitePurge(parts: SiteParts): OperationKind<Params> {
  const { store, databases, caches, secrets, events } = parts;
  return makeOperation<Params>({
    kind: 'site.purge',
    params: paramsSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name }) => `Purge the site ${name}`,
    steps: ({ site: id, name }) => {
      const read = async () => {
        const site = await readSite(store, id);
        if (site?.databaseServer == null || site.cacheServer === null)
          throw commonProblems.make('not-found', { noun: 'site', name });
        return { ...site, databaseServer: site.databaseServer, cacheServer: site.cacheServer };
      };
      return [
        {
          name: 'close',
          timeoutMs: 10_000,
          async do() {
            await changeConfig(store, async (sql, version) => {
              const site = await readSite(sql, id);
              // Resumed since the loop looked; or, from here on, no longer whole: it can only be purged.
              if (site?.state !== 'archived' && site?.state !== 'failed') {
                const about = { site: name, state: site?.state ?? 'gone', verb: 'purge', needed: 'archived' };
                throw siteProblems.make('wrong-state', about);
              }
              await storeSiteState(sql, id, 'failed', 'it is being purged', version);
            });
          },
        },
        {
          name: 'snapshots',
          timeoutMs: 600_000,
          async do({ signal }) {
            for (const one of await listSnapshots(store, id)) await removeSnapshot(parts, one, signal);
          },
        },
        { name: 'files', timeoutMs: 600_000, do: async ({ signal }) => removeContent(parts, await read(), signal) },
        {
          name: 'accounts',
          timeoutMs: 120_000,
          async do({ signal }) {
            const site = await read();
            await databases.dropSite(site.databaseServer, { name: id, user: id }, signal);
            await caches.removeSite(site.cacheServer, { name: id, prefix: `${id}:` }, signal);
          },
        },
        {
          name: 'forget',
          timeoutMs: 30_000,
          async do() {
            await store.transaction(async (sql) => {
              await secrets.removeAll(sql, secretsOf(id));
              const site = await readSite(sql, id);
              await deleteSite(sql, id);
              if (site === undefined) return;
              const data = { name, backup: JSON.parse(JSON.stringify(site.backup)) };
              await events.append(sql, { kind: 'site.purged', subject: siteLock(id), by: 'operation', data });
            });
          },
        },
      ];
    },
  });
}

/** Begins the purge of every site that is past its time and not being worked on. */
export async function purgeDue(parts: SiteParts): Promise<{ begun: string[] }> {
  const begun: string[] = [];
  for (const site of await listDueForPurge(parts.store)) {
    if (await isHeld(parts.operations, siteLock(site.id))) continue;
    const who = { by: 'purge', reason: 'its grace time is over' };
    await parts.store.transaction((sql) =>
      parts.operations.start(sql, 'site.purge', { site: site.id, name: site.name }, who),
    );
    begun.push(site.name);
  }
  return { begun };
}
