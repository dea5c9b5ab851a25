// Makes a site from the file of an exported one. Everything in the file is looked at before anything exists; then it goes as for
// any new site, with the file's database and files in the place of an empty installation. Mail is held; secrets are new but for
// those that its data cannot be read without.

import { z } from 'zod';
import { commonProblems } from '../../lib/errors.ts';
import {
  type Asker,
  makeOperation,
  type Operation,
  type OperationKind,
  type Step,
} from '../../platform/operations/operation.ts';
import type { Sql } from '../../platform/store.ts';
import { assertDisk } from '../../servers/room.ts';
import { ADAPT_MS, adaptSite, linksOf } from '../adapt.ts';
import { admitSite, newSiteSchema, readSiteRecipe, SITE_DISK_MB } from '../admit.ts';
import { makeNewSiteSteps } from '../create.ts';
import { renderUnpack } from '../files.ts';
import { readVersionOf } from '../image-of.ts';
import { type SiteParts, secretsOf, siteLock } from '../parts.ts';
import { compareVersions } from '../snapshots/image-order.ts';
import { readPlacedSite } from '../snapshots/take.ts';
import { readSite } from '../store.ts';
import { type ReadArchive, readArchive, readRange, verifyPart } from './archive.ts';
import type { PartName } from './format.ts';
import { transferProblems } from './problems.ts';
import { rehearse } from './rehearse.ts';
import { makeTakeInSteps, TAKE_IN_MS, uploadLock } from './take-in.ts';
import { pathOfUpload, readUpload, removeUpload, touchUpload } from './uploads.ts';

/** What a person says of a site that is to be made from an upload. */
export const newImportSchema = newSiteSchema
  .pick({ name: true, hosts: true, pool: true, title: true })
  .extend({ upload: z.string() });
export type NewImport = z.infer<typeof newImportSchema>;

const paramsSchema = z.object({ site: z.string(), name: z.string(), upload: z.string(), exported: z.string() });
type Params = z.infer<typeof paramsSchema>;

const MB = 2 ** 20;

/** Looks at the upload and the disk; then begins `site.import` in a transaction of its own. */
export async function beginImport(parts: SiteParts, wish: NewImport, who: Asker): Promise<Operation> {
  const archive = await readSent(parts, wish.upload);
  await touchUpload(parts.uploadsDir, wish.upload, parts.pools.clock);
  return parts.store.transaction((sql) => startImport(parts, sql, wish, archive, who), 'read committed');
}

/** Stores the new site and begins `site.import`; throws before anything is stored when something does not fit. */
export async function startImport(
  parts: SiteParts,
  sql: Sql,
  wish: NewImport,
  archive: ReadArchive,
  who: Asker,
): Promise<Operation> {
  const { id, name } = await admitImport(parts, sql, wish, archive);
  const params = { site: id, name, upload: wish.upload, exported: archive.site.name };
  return parts.operations.start(sql, 'site.import', params, who);
}

/** What an import would do, in sentences; nothing is kept of the look. */
export async function planImport(parts: SiteParts, wish: NewImport): Promise<string[]> {
  const archive = await readSent(parts, wish.upload);
  const { site: carried, parts: members, manifest } = archive;
  const { pool, placement, isOlder } = await rehearse(parts.store, (sql) => admitImport(parts, sql, wish, archive));
  const mb = (name: PartName) => Math.ceil(members[name].bytes / MB);
  const to = linksOf(parts, wish.hosts)[0] ?? '';
  return [
    `${wish.name} is made on ${placement}: ${carried.name} (${carried.app}) as it was at ${manifest.createdAt}, ${mb('database.sql.zst')} MB of database (compressed), ${mb('files.tar')} MB of files, ${carried.tasks.length} tasks that the recipe alone does not have.`,
    carried.links[0] === to
      ? `Its address stays ${to}.`
      : `Links to ${carried.links.join(', ')} become links to ${to}.`,
    isOlder
      ? `Its tables are brought from ${carried.app} ${carried.image.appVersion} to that of the pool ${pool}.`
      : `The pool ${pool} has its version, ${carried.app} ${carried.image.appVersion}.`,
    'Its mail is held back; passwords are new; all checksums are compared first.',
  ];
}

async function readSent(parts: SiteParts, upload: string): Promise<ReadArchive> {
  const { bytes } = await readUpload(parts.uploadsDir, upload);
  const archive = await readArchive(pathOfUpload(parts.uploadsDir, upload));
  // Once as it was sent and once unpacked.
  await assertDisk(parts.pools.fleet, SITE_DISK_MB + 2 * Math.ceil(bytes / MB));
  return archive;
}

/** Takes the site in: name, hosts, pool and versions must fit. */
async function admitImport(parts: SiteParts, sql: Sql, wish: NewImport, { site: carried }: ReadArchive) {
  const recipe = readSiteRecipe(parts, carried.app);
  const known = Object.keys(recipe.site.settings);
  const settings = Object.fromEntries(Object.entries(carried.settings).filter(([name]) => known.includes(name)));
  const id = await admitSite(parts, sql, recipe, {
    ...{ name: wish.name, hosts: wish.hosts, pool: wish.pool, title: wish.title ?? carried.title },
    ...{ adminEmail: carried.adminEmail, settings: { ...recipe.site.settings, ...settings }, limits: carried.limits },
    ...{ mailHeld: true, hooksHeld: false, clonedFrom: null },
  });
  for (const [name, value] of Object.entries(carried.secrets)) {
    if (recipe.site.secrets[name] !== undefined) await parts.secrets.put(sql, `${secretsOf(id)}app-${name}`, value);
  }
  await parts.tasks.store(sql, id, carried.tasks);
  const site = await readSite(sql, id);
  if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name: id });
  const has = await readVersionOf(sql, site);
  const about = { app: carried.app, version: carried.image.appVersion, pool: site.pool, has };
  if (compareVersions(carried.image.appVersion, has) > 0) throw transferProblems.make('newer-app', about);
  return { ...site, isOlder: carried.image.appVersion !== has };
}

/** The operation `site.import`. */
export function makeSiteImport(parts: SiteParts): OperationKind<Params> {
  return makeOperation<Params>({
    kind: 'site.import',
    params: paramsSchema,
    locks: ({ site, upload }) => [siteLock(site), uploadLock(upload)],
    title: ({ name, exported }) => `Import ${exported} as the site ${name}`,
    steps: ({ site: id, upload }): Step[] => {
      const path = pathOfUpload(parts.uploadsDir, upload);
      const steps = makeNewSiteSteps(parts, id);
      const part = async (name: 'database.sql.zst' | 'files.tar') =>
        readRange(path, (await readArchive(path)).parts[name]);
      const takeIn = makeTakeInSteps(parts, id, {
        database: () => part('database.sql.zst'),
        files: () => part('files.tar'),
        async unpack(site, run) {
          await run(renderUnpack(site));
          return undefined;
        },
      });
      return [
        {
          name: 'verify',
          timeoutMs: TAKE_IN_MS,
          async do({ signal }) {
            const { parts: members } = await readArchive(path);
            for (const name of ['database.sql.zst', 'files.tar'] as const)
              await verifyPart(path, name, members[name], signal);
          },
          // The site has its row from the beginning.
          undo: steps.place.undo,
        },
        steps.place,
        steps.accounts,
        steps.configure,
        takeIn.database,
        takeIn.files,
        {
          name: 'adapt',
          timeoutMs: 2 * ADAPT_MS,
          async do({ signal }) {
            const site = await readPlacedSite(parts, id);
            const { site: carried } = await readArchive(path);
            const isOlder = carried.image.appVersion !== (await readVersionOf(parts.store, site));
            const isMoved = carried.links[0] !== linksOf(parts, site.hosts)[0];
            return adaptSite(parts, site, { from: isMoved ? carried.links : [], isOlder }, signal);
          },
        },
        // The installer finds a site and gives its administrator the new password.
        { ...steps.install, name: 'password' },
        steps.check,
        steps.open,
        { name: 'tidy', timeoutMs: 10_000, do: () => removeUpload(parts.uploadsDir, upload) },
      ];
    },
  });
}
