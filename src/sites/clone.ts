// Makes a copy of a site under other host names, with its data at one moment: its database by a dump in one transaction,
// its files by copies that share their blocks where the storage can. The source serves on. New are all secrets and the
// administrator's password; links inside are rewritten by the app's own command; mail is held back.
import { z } from 'zod';
import { DUMPS_PATH } from '../databases/kind.ts';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import { rehearse } from '../platform/rehearse.ts';
import type { Sql } from '../platform/store.ts';
import { readPool } from '../pools/store.ts';
import { assertDisk } from '../servers/room.ts';
import { admitSite, newSiteSchema, readSiteRecipe, SITE_DISK_MB } from './admit.ts';
import { assertCarriable, carrierOf, carryFirst, carryPass, ensureCarrier, removeCarrier } from './carry.ts';
import { makeNewSiteSteps } from './create.ts';
import { execInSite, readServingNodes } from './nodes.ts';
import { type SiteParts, siteLock, urlOf } from './parts.ts';
import { measureContent } from './plan-move.ts';
import { siteProblems } from './problems.ts';
import { readSite, type SiteRow } from './store.ts';

/** What a person says of a clone. */
export const newCloneSchema = newSiteSchema.pick({ name: true, hosts: true, title: true, pool: true }).extend({
  holdHooks: z.boolean().optional().describe('It calls nobody over HTTP: payments, hooks, feeds'),
});
export type NewClone = z.infer<typeof newCloneSchema>;

const paramsSchema = z.object({ site: z.string(), name: z.string(), source: z.string(), sourceName: z.string() });
type Params = z.infer<typeof paramsSchema>;

const COPY_MS = 1_800_000;
const REWRITE_MS = 1_800_000;
const OUTPUT_SHOWN = 1_500;

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
  if (from.pool !== to.pool) await assertCarriable(parts, from.pool, to.pool);
  const { bytes, files } = await measureContent(parts, from, signal);
  const sizeMb = Math.ceil(bytes / 2 ** 20);
  const { copyOnWrite: shares } = await parts.pools.fleet.capabilities({ signal });
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
  const { title, adminEmail, settings, limits } = source;
  const own = (await readPool(sql, source.pool))?.kind === 'dedicated';
  const id = await admitSite(parts, sql, readSiteRecipe(parts, source.app), {
    ...{ name: wish.name, hosts: wish.hosts, title: wish.title ?? title, adminEmail, settings, limits },
    // Beside its source, where files share blocks; from a pool of its own to the emptiest shared one.
    pool: wish.pool ?? (own ? undefined : source.pool),
    mailHeld: true,
    hooksHeld: wish.holdHooks === true,
    staged,
    clonedFrom: source.id,
  });
  const params = { site: id, name: wish.name, source: source.id, sourceName: source.name };
  return parts.operations.start(sql, 'site.clone', params, who);
}

/** The operation `site.clone`. */
export function makeSiteClone(parts: SiteParts): OperationKind<Params> {
  const { store, databases, pools } = parts;
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
            const isBeside = from.pool === to.pool;
            if (!isBeside) {
              const way = { site: sourceId, as: id, from: from.pool, to: to.pool };
              await ensureCarrier(parts, way, signal);
              await carryFirst(parts, way, signal);
              await carryPass(parts, way, signal);
            }
            const worker = isBeside ? (await readServingNodes(parts, from.pool))[0].name : carrierOf(id);
            const commands = isBeside ? renderCopy(from, to) : renderOwners(from, to, `/to/${id}`);
            for (const argv of commands) {
              const { code, stderr } = await pools.fleet.exec(worker, argv, { signal, timeoutMs: COPY_MS });
              if (code !== 0) {
                throw siteProblems.make('copy-failed', { site: from.name, why: stderr.trim().slice(-OUTPUT_SHOWN) });
              }
            }
            if (!isBeside) await removeCarrier(parts, id, signal);
          },
          undo: ({ signal }) => removeCarrier(parts, id, signal),
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

/** Copies the files and gives them the new site's owners; run in a node, where the volume of both is. */
export function renderCopy(from: Owner, to: Owner): string[][] {
  const target = `/srv/content/${to.id}`;
  return [
    ['cp', '--archive', '--reflink=auto', `/srv/content/${from.id}/.`, target],
    ...renderOwners(from, to, target),
  ];
}

interface Owner {
  id: string;
  uid: number;
}

/** Gives a copy of one site's files to another; the mail that was held of the one is none of the other's. */
export function renderOwners(from: Owner, to: Owner, target: string): string[][] {
  const chown = ['chown', '--recursive', '--no-dereference'];
  return [
    ['rm', '--recursive', '--force', `${target}/.held-mail`],
    [...chown, `--from=${from.uid}`, String(to.uid), target],
    [...chown, `--from=:${from.uid}`, `:${to.uid}`, target],
  ];
}
