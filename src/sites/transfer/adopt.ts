// Makes a site of an installation from elsewhere: its dump and its folder of uploads. The dump is loaded by an account that has only
// this database, of the folder only what its recipe names is taken, and no program of it is run by anybody: code is the image's.
// What the image lacks of what the installation used is told.
import { z } from 'zod';
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
import { checkOnNodes } from '../nodes.ts';
import { type SiteParts, siteLock } from '../parts.ts';
import { readPlacedSite } from '../snapshots/take.ts';
import { storeSetting } from '../store.ts';
import { takeFiles } from './adopt-files.ts';
import { type FoundData, READ_MS, readAdopted } from './adopt-read.ts';
import { findPrefix, lookAtDump, readPacked, readUnpacked } from './dump.ts';
import { transferProblems } from './problems.ts';
import { rehearse } from './rehearse.ts';
import { makeTakeInSteps, TAKE_IN_MS, uploadLock } from './take-in.ts';
import { pathOfUpload, readUpload, removeUpload, touchUpload } from './uploads.ts';

/** What a person says of an installation from elsewhere. */
export const newAdoptionSchema = newSiteSchema
  .pick({ name: true, hosts: true, pool: true, title: true, adminEmail: true, app: true })
  .extend({
    dump: z.string().describe('Upload: plain, gzip or zstd'),
    files: z
      .string()
      .optional()
      .describe('Upload: a tar archive of the installation, or of its parts that the recipe names'),
    links: z
      .array(z.string().regex(/^[\w.-]+(:\d+)?(\/[\w./-]*)?$/, 'must be a host, with a port or path if need be'))
      .default([])
      .describe('Its old addresses without scheme, where the data do not tell them'),
    acceptMissing: z
      .boolean()
      .default(false)
      .describe('Take it in although the image lacks what no page of it can be shown without'),
  });
export type NewAdoption = z.infer<typeof newAdoptionSchema>;

const paramsSchema = z.object({
  ...{ site: z.string(), name: z.string(), app: z.string(), dump: z.string(), files: z.string().optional() },
  links: z.array(z.string()),
  acceptMissing: z.boolean(),
});
type Params = z.infer<typeof paramsSchema>;

const MB = 2 ** 20;

function readImport(parts: SiteParts, app: string) {
  const recipe = readSiteRecipe(parts, app);
  const { import: rules } = recipe.site;
  if (rules === undefined) throw transferProblems.make('not-importable', { app });
  return { recipe, rules };
}

/** Begins `site.adopt` when the dump is there, the recipe has rules for it, and everything else is as for a new site. */
export async function beginAdoption(parts: SiteParts, wish: NewAdoption, who: Asker): Promise<Operation> {
  await assertSent(parts, wish);
  return parts.store.transaction((sql) => startAdoption(parts, sql, wish, who), 'read committed');
}

async function assertSent(parts: SiteParts, wish: NewAdoption): Promise<void> {
  const uploads = [wish.dump, ...(wish.files === undefined ? [] : [wish.files])];
  let bytes = 0;
  for (const id of uploads) {
    bytes += (await readUpload(parts.uploadsDir, id)).bytes;
    await touchUpload(parts.uploadsDir, id, parts.pools.clock);
  }
  await assertDisk(parts.pools.fleet, SITE_DISK_MB + 3 * Math.ceil(bytes / MB));
}

/** Stores the new site and begins `site.adopt`. */
export async function startAdoption(parts: SiteParts, sql: Sql, wish: NewAdoption, who: Asker): Promise<Operation> {
  const site = await admitAdoption(parts, sql, wish);
  const { name, app, dump, files, links, acceptMissing } = wish;
  const params = { site, name, app, dump, links, acceptMissing, ...(files === undefined ? {} : { files }) };
  return parts.operations.start(sql, 'site.adopt', params, who);
}

/** Takes the site in; gives its id. */
async function admitAdoption(parts: SiteParts, sql: Sql, wish: NewAdoption): Promise<string> {
  const { recipe } = readImport(parts, wish.app);
  const { name, hosts, pool, adminEmail } = wish;
  return await admitSite(parts, sql, recipe, {
    ...{ name, hosts, pool, title: wish.title ?? name, adminEmail, settings: recipe.site.settings },
    ...{ limits: recipe.site.limits, mailHeld: true, hooksHeld: false, clonedFrom: null },
  });
}

/** What an import would do, in sentences; nothing is kept of the look. */
export async function planAdoption(parts: SiteParts, wish: NewAdoption, signal: AbortSignal): Promise<string[]> {
  await assertSent(parts, wish);
  const { recipe, rules } = readImport(parts, wish.app);
  const seen = await lookAtDump(await readUnpacked(pathOfUpload(parts.uploadsDir, wish.dump), signal));
  const prefix = findPrefix(wish.app, rules.tables, seen);
  await rehearse(parts.store, (sql) => admitAdoption(parts, sql, wish));
  const folders = rules.files.map(({ from }) => from).join(', ');
  return [
    `The dump holds a ${recipe.title} with ${seen.tables.size} tables, ${Math.ceil(seen.bytes / MB)} MB as text, prefix "${prefix}".`,
    wish.files === undefined ? 'No files come with it.' : `Of the files ${folders} are taken, and nothing else.`,
    `Its links become links to ${linksOf(parts, wish.hosts)[0] ?? ''}; its tables are brought to the version of the pool's image, or it is refused when they are newer.`,
    'Its mail is held back; the administrator gets a new password; plugins and themes that the image lacks are named at the end.',
  ];
}

/** The operation `site.adopt`. */
export function makeSiteAdopt(parts: SiteParts): OperationKind<Params> {
  return makeOperation<Params>({
    kind: 'site.adopt',
    params: paramsSchema,
    locks: ({ site, dump, files }) => [
      siteLock(site),
      uploadLock(dump),
      ...(files === undefined ? [] : [uploadLock(files)]),
    ],
    title: ({ name, app }) => `Import an installation of ${app} as the site ${name}`,
    steps: ({ site: id, app, dump, files, links, acceptMissing }): Step[] => {
      const { store, uploadsDir } = parts;
      const steps = makeNewSiteSteps(parts, id);
      const { recipe, rules } = readImport(parts, app);
      const dumpPath = pathOfUpload(uploadsDir, dump);
      const never = new AbortController().signal;
      const takeIn = makeTakeInSteps(parts, id, {
        database: () => readPacked(dumpPath, never),
        files: async () => (files === undefined ? undefined : readUnpacked(pathOfUpload(uploadsDir, files), never)),
        unpack: (site, run) => takeFiles(parts, site, { content: recipe.site.content, import: rules }, run),
      });
      return [
        {
          name: 'look',
          timeoutMs: TAKE_IN_MS,
          async do({ signal }) {
            const seen = await lookAtDump(await readUnpacked(dumpPath, signal));
            const prefix = findPrefix(app, rules.tables, seen);
            // Its nodes hear of it with the rest of its configuration.
            await storeSetting(store, id, rules.prefix, prefix);
            return { prefix, tables: seen.tables.size, bytes: seen.bytes };
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
          name: 'read',
          timeoutMs: READ_MS,
          async do({ signal, outputs }) {
            const { texts = {} } = (outputs.files ?? {}) as { texts?: Record<string, string> };
            const site = await readPlacedSite(parts, id);
            const found = await readAdopted(parts, site, rules.read, texts, signal);
            if (found.needed.length > 0 && !acceptMissing)
              throw transferProblems.make('lacks', { app, missing: [...found.needed, ...found.missing].join(', ') });
            return found;
          },
        },
        {
          name: 'adapt',
          timeoutMs: 2 * ADAPT_MS,
          async do({ signal, outputs }) {
            const found = outputs.read as FoundData;
            const from = [...new Set([...links, ...found.links])];
            return adaptSite(parts, await readPlacedSite(parts, id), { from, isOlder: true }, signal);
          },
        },
        // The installer finds a site and gives its administrator the new password.
        { ...steps.install, name: 'password' },
        {
          ...steps.check,
          async do(ctx) {
            const { needed } = ctx.outputs.read as FoundData;
            if (needed.length === 0) return steps.check.do(ctx);
            const site = await readPlacedSite(parts, id);
            // What it shows is known to be empty; that it answers is all that can be asked.
            return checkOnNodes(parts, site, { path: recipe.site.check.path }, ctx.signal);
          },
        },
        steps.open,
        {
          name: 'tidy',
          timeoutMs: 10_000,
          async do({ outputs }) {
            for (const upload of files === undefined ? [dump] : [dump, files]) await removeUpload(uploadsDir, upload);
            const { needed, version, ...found } = outputs.read as FoundData;
            const missing = [...needed, ...found.missing];
            const about = { subject: siteLock(id), by: 'operation', data: { app, version, missing } };
            await parts.events.append(store, { kind: 'site.adopted', ...about });
            return { missing };
          },
        },
      ];
    },
  });
}
