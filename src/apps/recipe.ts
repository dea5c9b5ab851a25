// What a recipe says: the shape of apps/<app>/app.yaml and services/<service>/service.yaml, and of the two layers
// below them (apps/base, apps/node). Apart from reading, so that other rooms take the types without the files.
import { z } from 'zod';
import { siteLimits } from '../protocol/site-document.ts';

const argv = z.array(z.string().min(1)).min(1);
const pathInside = z.string().regex(/^\.\/[^/].*$/, 'must be a path inside the recipe, beginning with "./"');
const urlPath = z.string().startsWith('/', 'must be a path beginning with "/"');
const count = z.int().min(1);
const name = z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, 'must be a short name of a-z, 0-9 and "-"');

/** Debian releases that a base is made of. */
export const suite = z.enum(['trixie', 'bookworm']);
export type Suite = z.infer<typeof suite>;

const packages = z.array(z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, 'must be the name of a Debian package'));

/** `apps/base/base.yaml`: the Debian that every image begins with. */
export const baseSchema = z.strictObject({
  suites: z.array(suite).min(1),
  packages: packages.min(1),
  /** dpkg options, kept in the image. */
  dpkg: z.array(z.string().min(1)),
});
export type Base = z.infer<typeof baseSchema>;

/** `apps/node/node.yaml`: what every app's image has between the base and the app. */
export const layerSchema = z.strictObject({
  packages,
  /** A tree that is laid over `/`, owned by root. */
  files: pathInside.optional(),
  /** A shell script that root runs in the seed after packages and files; see bake.ts for what it gets. */
  prepare: pathInside.optional(),
});
export type Layer = z.infer<typeof layerSchema>;

/** `5m`, `1h` …, or the five fields of cron. */
const schedule = z
  .string()
  .regex(
    /^([1-9]\d*[smhd]|\S+( \S+){4})$/,
    'must be a number with s, m, h or d ("5m"), or the five fields of cron ("30 3 * * *")',
  );

const folder = z.string().regex(/^[\w-]+(\/[\w-]+)*$/, 'must be a relative folder');
const folderFile = z.string().regex(/^[\w.-]+(\/[\w.-]+)*$/, 'must be a relative file');

const task = z.strictObject({
  name,
  /** Run as the site's user by `site-exec`, on one of the pool's nodes. */
  command: argv,
  every: schedule,
  timeoutS: count,
  class: z.enum(['urgent', 'normal', 'bulk']),
});
export type RecipeTask = z.infer<typeof task>;

const site = z.strictObject({
  /** Installs a site; gets `{title, url, admin: {user, email, password}}` as JSON on standard input. Safe to repeat. */
  install: argv,
  /** Brings a site's tables to the image's version. Safe to repeat. */
  upgrade: argv,
  /**
   * Replaces the site's old addresses in its data; gets `{from: [host or host:port …], to: url}` as JSON on standard input. Safe
   * to repeat. Without it nothing in the data names the site's address.
   */
  rewrite: argv.optional(),
  /** How an installation from elsewhere is taken in; without it none is. */
  import: z
    .strictObject({
      /** Ends of names of tables that every installation has: what stands before them is the tables' prefix. */
      tables: z.array(z.string().regex(/^\w+$/)).min(1),
      /** The setting that holds the prefix. */
      prefix: z.string(),
      /** Folders of an installation that become folders of the site's content. */
      files: z.array(z.strictObject({ from: folder, to: folder })).min(1),
      /** Files of an installation whose text `read` is given; nothing of them is run. */
      texts: z.array(folderFile).default([]),
      /** Secrets that are found in those texts: a regular expression whose first group is the value. */
      secrets: z.record(z.string(), z.string()).default({}),
      /**
       * Looks at the loaded data; gets `{texts: {path: text}}` as JSON on standard input, and prints as JSON `{links: [host or
       * host:port or host/path …], version, isNewer, missing: [what the image lacks …], needed?: [what it lacks and no page can be shown without …], refuse?: why}`. Changes nothing.
       */
      read: argv,
    })
    .optional(),
  /** A visit that shows that the site works. */
  check: z.strictObject({ path: urlPath, status: z.int().min(100).max(599), contains: z.string().min(1).optional() }),
  /** Where a site's own code is laid: a tree over `root`, without the paths in it that are Espalier's. */
  code: z
    .strictObject({ root: urlPath, keep: z.array(z.string().regex(/^[^/]/, 'must be relative to root')).default([]) })
    .optional(),
  adminUser: z.string().min(1),
  loginPath: urlPath,
  /**
   * Random values made once with the site, as hexadecimal text of twice as many characters. `encrypts`: data of the site
   * cannot be read without it, so copies and exports of the site have the same one.
   */
  secrets: z
    .record(
      z.string().regex(/^[a-zA-Z]\w*$/),
      z.strictObject({ bytes: z.int().min(8).max(128), encrypts: z.boolean().default(false) }),
    )
    .default({}),
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
  /** Defaults; see the site document for their meaning. */
  limits: siteLimits,
  /** Folders of user content under /srv/content/<site>. */
  content: z.array(folder).default([]),
});
export type RecipeSite = z.infer<typeof site>;

/** A recipe of an app (with `site`) or of a service (without). */
export const recipeSchema = layerSchema.extend({
  name,
  title: z.string().min(1).max(80),
  /** `untried`: written from documentation, never run. */
  status: z.enum(['tried', 'untried']),
  base: suite,
  /** What Debian does not ship: a path or URL in an environment variable of the controller. */
  archive: z
    .strictObject({
      variable: z.string().regex(/^ESPALIER_[A-Z_]+$/, 'must be a variable that begins with ESPALIER_'),
      sha256: z
        .string()
        .regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits')
        .optional(),
    })
    .optional(),
  /** Prints the version of the app that the image holds. */
  version: argv,
  site: site.optional(),
  tasks: z
    .array(task)
    .default([])
    .refine((tasks) => new Set(tasks.map((each) => each.name)).size === tasks.length, 'must not name a task twice'),
});
export type Recipe = z.infer<typeof recipeSchema>;
