// Makes a copy of a site under other host names, with its data at one moment: its database by a dump in one transaction,
// its files by copies that share their blocks where the storage can. The source serves on. New are all secrets and the
// administrator's password; links inside are rewritten by the app's own command; mail is held back.
import { z } from 'zod';
import { DUMPS_PATH } from '../databases/kind.ts';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { assertDisk } from '../servers/room.ts';
import { admitSite, newSiteSchema, readSiteRecipe, SITE_DISK_MB } from './admit.ts';
import { makeNewSiteSteps } from './create.ts';
import { COPY_MS, folderOf, renderCopy, runAsRoot } from './files.ts';
import { execInSite } from './nodes.ts';
import { type SiteParts, siteLock, urlOf } from './parts.ts';
import { siteProblems } from './problems.ts';
import { readSite, type SiteRow } from './store.ts';

/** What a person says of a clone. */
export const newCloneSchema = newSiteSchema.pick({ name: true, hosts: true, title: true });
export type NewClone = z.infer<typeof newCloneSchema>;

const paramsSchema = z.object({ site: z.string(), name: z.string(), source: z.string(), sourceName: z.string() });
type Params = z.infer<typeof paramsSchema>;

const REWRITE_MS = 1_800_000;
const OUTPUT_SHOWN = 1_500;

/** Begins `site.clone` unless the disk is nearly full or something else is wrong with the wish. */
export async function beginSiteClone(parts: SiteParts, source: string, wish: NewClone, who: Asker): Promise<Operation> {
  await assertDisk(parts.pools.fleet, SITE_DISK_MB);
  return parts.store.transaction((sql) => startSiteClone(parts, sql, source, wish, who), 'read committed');
}

/** Stores the new site and begins `site.clone`. Throws before anything is stored when something is wrong with the wish. */
export async function startSiteClone(
  parts: SiteParts,
  sql: Sql,
  sourceName: string,
  wish: NewClone,
  who: Asker,
): Promise<Operation> {
  const source = await readSite(sql, sourceName);
  if (source === undefined) throw commonProblems.make('not-found', { noun: 'site', name: sourceName });
  if (source.state !== 'ready' && source.state !== 'suspended') {
    const about = { site: source.name, state: source.state, verb: 'clone', needed: 'ready or suspended' };
    throw siteProblems.make('wrong-state', about);
  }
  const { title, adminEmail, settings, limits, pool } = source;
  const id = await admitSite(parts, sql, readSiteRecipe(parts, source.app), {
    ...{ name: wish.name, hosts: wish.hosts, title: wish.title ?? title, adminEmail, settings, limits },
    // Its files lie on the pool's volume.
    pool,
    mailHeld: true,
    clonedFrom: source.id,
  });
  const params = { site: id, name: wish.name, source: source.id, sourceName: source.name };
  return parts.operations.start(sql, 'site.clone', params, who);
}

/** The operation `site.clone`. */
export function makeSiteClone(parts: SiteParts): OperationKind<Params> {
  const { store, databases } = parts;
  const read = async (id: string): Promise<SiteRow & { databaseServer: string }> => {
    const site = await readSite(store, id);
    if (site?.databaseServer == null) throw commonProblems.make('not-found', { noun: 'site', name: id });
    return { ...site, databaseServer: site.databaseServer };
  };
  return makeOperation<Params>({
    kind: 'site.clone',
    params: paramsSchema,
    // The source serves on, but nobody deletes or renames it meanwhile.
    locks: ({ site, source }) => [siteLock(site), siteLock(source)],
    title: ({ name, sourceName }) => `Clone the site ${sourceName} to ${name}`,
    steps: ({ site: id, source: sourceId }) => {
      const steps = makeNewSiteSteps(parts, id, sourceId);
      const dumpName = (operation: string): string => `${id}-${operation}.sql.zst`;
      return [
        steps.place,
        steps.accounts,
        steps.configure,
        {
          name: 'database',
          timeoutMs: COPY_MS,
          async do({ signal, operationId }) {
            const { databaseServer } = await read(sourceId);
            const dump = await databases.dump(databaseServer, sourceId, dumpName(operationId), signal);
            await databases.restore((await read(id)).databaseServer, id, dump, signal);
            await databases.removeDump(databaseServer, dump.path, signal);
            return { bytes: dump.bytes };
          },
          async undo({ signal, operationId }) {
            const { databaseServer } = await read(sourceId);
            await databases.removeDump(databaseServer, `${DUMPS_PATH}/${dumpName(operationId)}`, signal);
          },
        },
        {
          name: 'files',
          timeoutMs: COPY_MS,
          async do({ signal }) {
            const [from, to] = [await read(sourceId), await read(id)];
            const commands = renderCopy({ path: folderOf(from.id), uid: from.uid }, to);
            const toProblem = (why: string) => siteProblems.make('copy-failed', { site: from.name, why });
            await runAsRoot(parts, from.pool, commands, toProblem, signal);
          },
        },
        {
          name: 'rewrite',
          timeoutMs: REWRITE_MS,
          async do({ signal }) {
            const [from, to] = [await read(sourceId), await read(id)];
            const argv = readSiteRecipe(parts, to.app).site.rewrite;
            if (argv === undefined) return;
            const hostOf = (host: string) => new URL(urlOf(parts.publicAddress, host)).host;
            const stdin = JSON.stringify({
              from: [...new Set(from.hosts.flatMap((host) => [hostOf(host), host]))],
              to: urlOf(parts.publicAddress, to.hosts[0] ?? ''),
            });
            const result = await execInSite(parts, to, { argv, stdin, timeoutMs: REWRITE_MS }, signal);
            const output = `${result.stdout}\n${result.stderr}`.trim().slice(-OUTPUT_SHOWN);
            if (result.code !== 0)
              throw siteProblems.make('rewrite-failed', { site: to.name, code: result.code, output });
            return { output };
          },
        },
        // The installer finds a site and gives its administrator the new password.
        { ...steps.install, name: 'password' },
        steps.check,
        steps.open,
      ];
    },
  });
}
