// Makes a copy of a site under other host names, with its data at one moment: its database by a dump in one transaction,
// its files by copies that share their blocks where the storage can. The source serves on. New are all secrets but those that
// its data cannot be read without, and the administrator's password; links inside are rewritten by the app's own command; mail is held back.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import { rehearse } from '../platform/rehearse.ts';
import type { Sql } from '../platform/store.ts';
import { readPool } from '../pools/store.ts';
import { assertDisk } from '../servers/room.ts';
import { ADAPT_MS, adaptSite, linksOf } from './adapt.ts';
import { admitSite, newSiteSchema, readSiteRecipe, SITE_DISK_MB } from './admit.ts';
import { assertCarriable, carrierOf, ensureCarriers, removeCarriers } from './carriers.ts';
import { carryFirst, carryPass } from './carry.ts';
import { makeNewSiteSteps } from './create.ts';
import { COPY_MS, folderOf, inVolume, renderCopy, renderOwners, runAsRoot, runIn } from './files.ts';
import { readImageNumberOf, readVersionOf } from './image-of.ts';
import { type SiteParts, secretsOf, siteLock } from './parts.ts';
import { measureContent } from './plan-move.ts';
import { siteProblems } from './problems.ts';
import { assertCodeReads, compareVersions } from './snapshots/image-order.ts';
import { readUsableSnapshot } from './snapshots/put-back.ts';
import type { SnapshotRow } from './snapshots/store.ts';
import { keptFilesOf } from './snapshots/take.ts';
import { readSite, type SiteRow } from './store.ts';

/** What a person says of a clone. */
export const newCloneSchema = newSiteSchema.pick({ name: true, hosts: true, title: true, pool: true }).extend({
  snapshot: z.int().min(1).optional().describe("Of what it held then, by the snapshot's number"),
  holdHooks: z.boolean().optional().describe('It calls nobody over HTTP: payments, hooks, feeds'),
});
export type NewClone = z.infer<typeof newCloneSchema>;

const paramsSchema = z.object({
  ...{ site: z.string(), name: z.string(), source: z.string(), sourceName: z.string() },
  snapshot: z.int().optional(),
});
type Params = z.infer<typeof paramsSchema>;

/** Begins `site.clone` unless the disk is nearly full or something else is wrong with the wish. */
export async function beginSiteClone(parts: SiteParts, source: string, wish: NewClone, who: Asker): Promise<Operation> {
  await assertDisk(parts.pools.fleet, SITE_DISK_MB);
  return parts.store.transaction((sql) => startSiteClone(parts, sql, source, wish, who), 'read committed');
}

/** What a clone would do, for people. */
export async function planClone(
  parts: SiteParts,
  source: string,
  wish: NewClone,
  who: Asker,
  signal: AbortSignal,
): Promise<{ plan: string[]; sites: string[]; pauseS: number }> {
  const [from, to] = await rehearse(parts.store, async (sql) => {
    await startSiteClone(parts, sql, source, wish, who);
    return [await readSite(sql, source), await readSite(sql, wish.name)];
  });
  if (from === undefined || to === undefined) throw commonProblems.make('not-found', { noun: 'site', name: source });
  const crosses = from.pool !== to.pool && (await assertCarriable(parts, from.pool, to.pool)).crosses;
  const { bytes, files } = await measureContent(parts, from, signal);
  const sizeMb = Math.ceil(bytes / 2 ** 20);
  const { copyOnWrite } = await parts.pools.fleet.capabilities({ signal });
  const shares = copyOnWrite && !crosses;
  await assertDisk(parts.pools.fleet, SITE_DISK_MB + (shares ? 0 : sizeMb));
  const plan = [
    `${to.name} is made on ${to.placement}, with its database on ${from.databaseServer}, beside that of ${from.name}.`,
    `${sizeMb} MB in ${files} files are copied${shares ? ', sharing their blocks' : ''}; ${from.name} serves on.`,
    'Its secrets and the first password are new, links are rewritten, and its mail is held back.',
  ];
  return { plan, sites: [from.name], pauseS: 0 };
}

/** Stores the new site and begins `site.clone`; `staged`: on a seed. Throws before anything is stored when something is wrong with the wish. */
export async function startSiteClone(
  parts: SiteParts,
  sql: Sql,
  sourceName: string,
  wish: NewClone,
  who: Asker,
  staged = false,
): Promise<Operation> {
  const source = await readSite(sql, sourceName);
  if (source === undefined) throw commonProblems.make('not-found', { noun: 'site', name: sourceName });
  if (source.state !== 'ready' && source.state !== 'suspended') {
    const about = { site: source.name, state: source.state, verb: 'clone', needed: 'ready or suspended' };
    throw siteProblems.make('wrong-state', about);
  }
  const { adminEmail, limits } = source;
  const home = await readPool(sql, source.pool);
  const { snapshot: number } = wish;
  const snapshot = number === undefined ? undefined : await readUsableSnapshot(sql, source, number);
  const { title, settings } = snapshot ?? source;
  const id = await admitSite(parts, sql, readSiteRecipe(parts, source.app), {
    ...{ name: wish.name, hosts: wish.hosts, title: wish.title ?? title, adminEmail, settings, limits },
    // Beside its source, where files share blocks; from a pool of its own to the emptiest shared one.
    pool: wish.pool ?? (home?.kind === 'dedicated' ? undefined : source.pool),
    mailHeld: true,
    hooksHeld: wish.holdHooks === true,
    staged,
    clonedFrom: source.id,
  });
  const made = await readSite(sql, id);
  if (made !== undefined) await assertReads(sql, source, made, snapshot);
  await carrySecrets(parts, sql, source, id);
  const params = {
    ...{ site: id, name: wish.name, source: source.id, sourceName: source.name },
    ...(number === undefined ? {} : { snapshot: number }),
  };
  return parts.operations.start(sql, 'site.clone', params, who);
}

/** Throws when the copy's code is of an older version of the app than its data. */
async function assertReads(sql: Sql, source: SiteRow, made: SiteRow, snapshot: SnapshotRow | undefined): Promise<void> {
  const imageNumber = await readImageNumberOf(sql, made);
  if (snapshot !== undefined) return assertCodeReads(sql, source, snapshot, imageNumber);
  const [has, there] = [await readVersionOf(sql, source), await readVersionOf(sql, made)];
  if (compareVersions(has, there) <= 0) return;
  throw siteProblems.make('other-version', { site: source.name, app: source.app, has, pool: made.pool, there });
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
    title: ({ name, sourceName, snapshot }) =>
      snapshot === undefined
        ? `Clone the site ${sourceName} to ${name}`
        : `Restore snapshot ${snapshot} of ${sourceName} beside it, as ${name}`,
    steps: ({ site: id, source: sourceId, snapshot: number }) => {
      const steps = makeNewSiteSteps(parts, id, sourceId);
      const dumpName = (operation: string): string => `${id}-${operation}.sql.zst`;
      const readKept = async (source: SiteRow) =>
        number === undefined ? undefined : readUsableSnapshot(store, source, number);
      return [
        steps.place,
        steps.accounts,
        steps.configure,
        {
          name: 'database',
          timeoutMs: COPY_MS,
          async do({ signal, operationId }) {
            const source = await read(sourceId);
            const { databaseServer } = source;
            const kept = await readKept(source);
            const dump = kept?.dump ?? (await databases.dump(databaseServer, sourceId, dumpName(operationId), signal));
            await databases.restore((await read(id)).databaseServer, id, dump, signal);
            if (kept === undefined) await databases.removeDump(databaseServer, dump.path, signal);
            return { bytes: dump.bytes };
          },
          async undo({ signal, operationId }) {
            const { databaseServer } = await read(sourceId);
            await databases.removeDump(databaseServer, databases.dumpPath(dumpName(operationId)), signal);
          },
        },
        {
          name: 'files',
          timeoutMs: COPY_MS,
          async do({ signal }) {
            const [from, to] = [await read(sourceId), await read(id)];
            const kept = await readKept(from);
            const path = kept === undefined ? folderOf(from.id) : keptFilesOf(kept);
            const toProblem = (why: string) => siteProblems.make('copy-failed', { site: from.name, why });
            if (from.pool === to.pool) {
              await runAsRoot(parts, from.pool, renderCopy({ path, uid: from.uid }, to), toProblem, signal);
              return;
            }
            const way = { folder: inVolume(path), as: id, from: from.pool, to: to.pool };
            await ensureCarriers(parts, way, signal);
            await carryFirst(parts, way, signal);
            await carryPass(parts, way, signal);
            await runIn(parts, carrierOf(id), renderOwners(from, to, `/to/${id}`), toProblem, signal);
            await removeCarriers(parts, id, signal);
          },
          undo: ({ signal }) => removeCarriers(parts, id, signal),
        },
        {
          name: 'rewrite',
          timeoutMs: 2 * ADAPT_MS,
          async do({ signal }) {
            const [from, to] = [await read(sourceId), await read(id)];
            const kept = await readKept(from);
            const isOlder =
              (kept?.imageNumber ?? (await readImageNumberOf(store, from))) !== (await readImageNumberOf(store, to));
            return adaptSite(parts, to, { from: linksOf(parts, kept?.hosts ?? from.hosts), isOlder }, signal);
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

/** Those without which the data cannot be read go along; all others are new. */
async function carrySecrets(parts: SiteParts, sql: Sql, source: SiteRow, id: string): Promise<void> {
  const kept = await parts.secrets.readAll(sql, secretsOf(source.id));
  for (const [name, { encrypts }] of Object.entries(readSiteRecipe(parts, source.app).site.secrets)) {
    const value = kept[`${secretsOf(source.id)}app-${name}`];
    if (encrypts && value !== undefined) await parts.secrets.put(sql, `${secretsOf(id)}app-${name}`, value);
  }
}
