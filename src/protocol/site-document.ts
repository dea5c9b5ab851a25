// What a node must know of one site: the shape of /etc/espalier/sites/<site>/site.json, which the
// controller writes, the agent renders and the app's PHP reads. Apart because both programs share it.
import { z } from 'zod';

/** One name for everything of a site: its Unix user, database, database user and cache user. */
export const siteName = z.string().regex(/^s[a-z0-9]{9}$/, 'must be "s" and nine characters of a-z and 0-9');

/**
 * A host name in lower case without port: it becomes a file name and an nginx `$host`. Its length is bounded by the
 * path of a Unix socket (107 characters), because nodes reach a site's PHP by `/etc/espalier/hosts/<host>/php.sock`.
 */
export const hostName = z
  .string()
  .max(78, 'must be a host name of at most 78 characters')
  .regex(
    /^(?=.)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/,
    'must be a host name in lower case, without port',
  );

/** Site ids live between Debian's ordinary users and systemd's own ranges (from 60001). The group id is the same. */
export const siteUid = z.int().min(10_000).max(59_999);

const port = z.int().min(1).max(65_535);
const count = z.int().min(1);

/** What one site may use. The node enforces the first four, the edge the next two, the database the rest. */
export const siteLimits = z.strictObject({
  /** PHP processes at once on each node. */
  phpWorkers: count.max(500),
  /** PHP's memory_limit for one request, in MiB. */
  phpMemoryMb: count.min(16).max(16_384),
  /** Longest time for one request. */
  requestTimeoutS: count.max(3_600),
  /** Largest upload and request body, in MiB; nginx in the nodes takes no more than 1024. */
  uploadMb: count.max(1_024),
  requestsPerS: count,
  connections: count,
  databaseConnections: count,
  statementTimeS: count,
});
export type SiteLimits = z.infer<typeof siteLimits>;

export const siteState = z.enum(['creating', 'ready', 'suspended', 'maintenance']);
export type SiteState = z.infer<typeof siteState>;

/** One site in one version. Hold it secret as a whole: it carries passwords. */
export const siteDocument = z.strictObject({
  site: siteName,
  /** The name that people gave it. */
  name: z.string().min(1).max(100),
  app: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/),
  /** Counts up with every change; names the version's folder. */
  version: z.int().min(1),
  uid: siteUid,
  state: siteState,
  hosts: z.array(hostName).min(1),
  primaryHost: hostName,
  /** Address that visitors see, without a slash at its end, for instance `http://acme.localhost:8080`. */
  url: z.url({ protocol: /^https?$/ }).regex(/[^/]$/, 'must not end with a slash'),
  title: z.string().min(1).max(200),
  database: z.strictObject({
    host: z.string().min(1),
    port,
    name: z.string().min(1),
    user: z.string().min(1),
    password: z.string().min(1),
  }),
  cache: z.strictObject({
    host: z.string().min(1),
    port,
    user: z.string().min(1),
    password: z.string().min(1),
    /** Every key of the site begins with it; the ACL allows no other. */
    prefix: z.string().min(1),
  }),
  /** The recipe's declared secrets, made once with the site. */
  secrets: z.record(z.string(), z.string()),
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  limits: siteLimits,
  /** What it would send by mail is put aside, and its PHP reaches no mail server. */
  mailHeld: z.boolean().optional(),
  /** Its PHP opens no address but its own hosts'. */
  hooksHeld: z.boolean().optional(),
});
export type SiteDocument = z.infer<typeof siteDocument>;
