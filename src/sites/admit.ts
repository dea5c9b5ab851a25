// Takes in what a person says of a new site: checks everything before anything exists, then stores the row, its host
// names and its secrets, and begins `site.create`, all in one transaction.
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { Recipe } from '../apps/recipe.ts';
import { commonProblems } from '../lib/errors.ts';
import type { Asker, Operation } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { poolProblems } from '../pools/problems.ts';
import { listPools, type PoolRow, readPool } from '../pools/store.ts';
import { hostName } from '../protocol/site-document.ts';
import { takeConfigVersion } from '../servers/config-clock.ts';
import { assertDisk } from '../servers/room.ts';
import { type SiteParts, secretsOf } from './parts.ts';
import { siteProblems } from './problems.ts';
import { countSitesByPool, insertSite, type NewSiteRow, readConflictingHost, readFreeUid, readSite } from './store.ts';

/** What a person says of a new site. */
export const newSiteSchema = z.object({
  name: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,38}$/, 'must be a-z, 0-9 and "-", begin with a letter, 39 characters at most'),
  app: z.string(),
  hosts: z
    .array(
      z
        .string()
        .transform((host) => host.toLowerCase())
        .pipe(hostName),
    )
    .min(1)
    .max(50)
    .refine((hosts) => new Set(hosts).size === hosts.length, 'must not repeat a host name'),
  pool: z.string().optional(),
  title: z.string().min(1).max(200).optional(),
  adminEmail: z.email().default('admin@example.org'),
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
});
export type NewSite = z.infer<typeof newSiteSchema>;

/** Unix user ids of sites begin here, above Debian's own users. */
const FIRST_UID = 20_000;
/** A new site is refused when less disk is free: a database, some uploads and a backup must fit. */
export const SITE_DISK_MB = 512;
const ID_ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';

function makeSiteId(): string {
  return `s${[...randomBytes(9)].map((byte) => ID_ALPHABET[byte % ID_ALPHABET.length]).join('')}`;
}

const makePassword = (bytes: number): string => randomBytes(bytes).toString('base64url');

/** Throws the problem that stands in the way of these host names, if one does. `exceptSite`: the site that may have them. */
export async function assertHostsFree(sql: Sql, hosts: readonly string[], exceptSite: string): Promise<void> {
  const conflict = await readConflictingHost(sql, hosts, exceptSite);
  if (conflict === undefined) return;
  const { host, site, given } = conflict;
  if (host === given) throw siteProblems.make('host-taken', { host, site });
  throw siteProblems.make('host-overlaps', { host: given, other: host, site });
}

/** Throws unless the pool may take the site: of its app, serving, ready, with room, and dedicated to nobody else. */
export async function assertPoolTakes(
  sql: Sql,
  name: string,
  site: { id: string; app: string; staged?: boolean },
): Promise<PoolRow> {
  const pool = await readPool(sql, name);
  if (pool === undefined) throw commonProblems.make('not-found', { noun: 'pool', name });
  if (pool.app !== site.app || pool.worksFor !== null)
    throw siteProblems.make('wrong-pool', { pool: name, app: site.app });
  const isStaging = site.staged === true && pool.state === 'staging';
  if (pool.state !== 'ready' && !isStaging) throw poolProblems.make('not-ready', { pool: name, state: pool.state });
  if (!isStaging && pool.kind === 'dedicated' && pool.dedicatedTo !== site.id) {
    const owner = pool.dedicatedTo === null ? undefined : await readSite(sql, pool.dedicatedTo);
    throw poolProblems.make('other-site', {
      pool: name,
      site: owner?.name ?? 'that it was made for, and that is gone,',
    });
  }
  if (((await countSitesByPool(sql)).get(name) ?? 0) >= pool.maxSites)
    throw poolProblems.make('full', { pool: name, max: pool.maxSites });
  return pool;
}

async function choosePool(
  sql: Sql,
  app: string,
  wish: string | undefined,
  staged: boolean,
): Promise<{ pool: string; reason: string }> {
  const counts = await countSitesByPool(sql);
  if (wish !== undefined) {
    const pool = await readPool(sql, wish);
    if (pool === undefined || pool.app !== app || pool.worksFor !== null)
      throw poolProblems.make('none-for-app', { app });
    await assertPoolTakes(sql, wish, { id: '', app, staged });
    return { pool: wish, reason: `pool ${wish}, as asked` };
  }
  const roomy = (await listPools(sql))
    .filter((pool) => pool.app === app && pool.kind === 'shared' && pool.worksFor === null && pool.state === 'ready')
    .filter((pool) => (counts.get(pool.name) ?? 0) < pool.maxSites)
    .sort((a, b) => (counts.get(a.name) ?? 0) - (counts.get(b.name) ?? 0));
  const [best] = roomy;
  if (best === undefined) throw poolProblems.make('none-for-app', { app });
  return { pool: best.name, reason: `pool ${best.name}, the emptiest of ${roomy.length} with room` };
}

function assertSettings(recipe: Recipe, app: string, given: NewSite['settings']): void {
  const known = Object.keys(recipe.site?.settings ?? {});
  for (const setting of Object.keys(given)) {
    if (!known.includes(setting)) {
      throw siteProblems.make('unknown-setting', { app, setting, known: known.join(', ') || 'none' });
    }
  }
}

/** Begins `site.create` unless the disk is nearly full or something else is wrong with the wish. */
export async function beginSiteCreate(parts: SiteParts, wish: NewSite, who: Asker): Promise<Operation> {
  await assertDisk(parts.pools.fleet, SITE_DISK_MB);
  // As changeConfig: the version that it takes first keeps those that come at once apart.
  return parts.store.transaction((sql) => startSiteCreate(parts, sql, wish, who), 'read committed');
}

/** Stores the site and begins `site.create`. Throws before anything is stored when something is wrong with the wish. */
export async function startSiteCreate(parts: SiteParts, sql: Sql, wish: NewSite, who: Asker): Promise<Operation> {
  const recipe = readSiteRecipe(parts, wish.app);
  assertSettings(recipe, wish.app, wish.settings);
  const id = await admitSite(parts, sql, recipe, {
    ...{ name: wish.name, hosts: wish.hosts, pool: wish.pool, title: wish.title ?? wish.name },
    ...{ adminEmail: wish.adminEmail, settings: { ...recipe.site.settings, ...wish.settings } },
    ...{ limits: recipe.site.limits, mailHeld: false, hooksHeld: false, clonedFrom: null },
  });
  return parts.operations.start(sql, 'site.create', { site: id, name: wish.name }, who);
}

type SiteRecipe = Recipe & { site: NonNullable<Recipe['site']> };

/** The recipe of an app that has sites; `site.unknown-app` otherwise. */
export function readSiteRecipe(parts: SiteParts, app: string): SiteRecipe {
  const recipe = parts.readRecipe(app);
  if (recipe?.site === undefined) throw siteProblems.make('unknown-app', { app, known: parts.appNames().join(', ') });
  return { ...recipe, site: recipe.site };
}

/**
 * Takes in a new site in the caller's transaction: name and hosts must be free and a pool must have room; then its row, its
 * tasks and new secrets are stored. Gives its id.
 */
export async function admitSite(
  parts: SiteParts,
  sql: Sql,
  recipe: SiteRecipe,
  wish: Pick<
    NewSiteRow,
    'name' | 'title' | 'adminEmail' | 'settings' | 'limits' | 'mailHeld' | 'hooksHeld' | 'clonedFrom'
  > & {
    hosts: readonly string[];
    pool: string | undefined;
    /** It is a copy on a seed. */
    staged?: boolean;
  },
): Promise<string> {
  const { hosts, pool: wishedPool, staged = false, ...rest } = wish;
  const app = recipe.name;
  // The version's row is held to the end of the transaction: two creates at once come one after the other.
  await takeConfigVersion(sql);
  const existing = await readSite(sql, wish.name);
  if (existing !== undefined) throw siteProblems.make('taken', { name: wish.name, state: existing.state });
  await assertHostsFree(sql, hosts, '');
  const choice = await choosePool(sql, app, wishedPool, staged);
  const id = makeSiteId();
  const row = {
    ...rest,
    id,
    app,
    pool: choice.pool,
    uid: await readFreeUid(sql, FIRST_UID),
    adminUser: recipe.site.adminUser,
    // Nobody is told of it until its accounts stand.
    configVersion: 0,
    placement: choice.reason,
  };
  await insertSite(sql, row, hosts);
  await parts.tasks.created(sql, row);
  await parts.secrets.put(sql, `${secretsOf(id)}database-password`, makePassword(24));
  await parts.secrets.put(sql, `${secretsOf(id)}cache-password`, makePassword(24));
  await parts.secrets.put(sql, `${secretsOf(id)}admin-password`, makePassword(12));
  for (const [name, { bytes }] of Object.entries(recipe.site.secrets ?? {})) {
    await parts.secrets.put(sql, `${secretsOf(id)}app-${name}`, randomBytes(bytes).toString('hex'));
  }
  return id;
}
