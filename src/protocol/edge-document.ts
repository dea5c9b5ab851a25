// What the controller tells an agent about the edge: every pool with its servers, every host with its state.
// Apart because the edge room writes it, the agent applies it, and neither may import the other.
import { z } from 'zod';

const wordPattern = /^[a-z0-9][a-z0-9-]{0,62}$/;
/** A pool's name, and the number of its generation where that is not the first. */
const poolPattern = /^[a-z0-9][a-z0-9-]{0,62}(\.[1-9][0-9]{0,5})?$/;
const sitePattern = /^s[a-z0-9]{9}$/;
const hostPattern = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

/** One node as the edge sees it. `drain` true: requests that it has end, new ones go elsewhere. */
export const edgeServer = z.strictObject({
  name: z.string().regex(wordPattern),
  address: z.ipv4(),
  port: z.int().min(1).max(65535),
  drain: z.boolean(),
});

/** One generation of a pool: a backend of its own at the edge. Only one that comes or goes needs a reload. */
export const edgePool = z.strictObject({
  name: z.string().regex(poolPattern),
  servers: z.array(edgeServer),
  /** A pool that may sleep without nodes: its first requests are held while one starts. Changing it needs a reload. */
  holds: z.boolean().optional(),
});

/**
 * What the edge does with a site's requests: `ready` sends them to its pool, `held` lets them wait until it says something
 * else (a page after a bound), everything else answers with a page.
 */
export const edgeHostState = z.enum(['ready', 'held', 'suspended', 'creating']);

/** One host name (lower case, no port). The limits are the site's: all its hosts share them, and 0 means none. */
export const edgeHost = z.strictObject({
  host: z.string().regex(hostPattern),
  site: z.string().regex(sitePattern),
  pool: z.string().regex(poolPattern),
  state: edgeHostState,
  requestsPerS: z.int().min(0).max(1_000_000),
  connections: z.int().min(0).max(1_000_000),
});

function repeated(names: readonly string[]): string | undefined {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) return name;
    seen.add(name);
  }
  return undefined;
}

/**
 * Everything that an edge must know, whole each time (level-triggered: it says what should be, not what changed).
 * `version` grows with every change; `trustedProxies` are CIDR ranges whose X-Forwarded-* headers are believed.
 */
export const edgeDocument = z
  .strictObject({
    version: z.int().min(0),
    trustedProxies: z.array(z.union([z.cidrv4(), z.cidrv6()])),
    pools: z.array(edgePool),
    hosts: z.array(edgeHost),
    /** All edges: they tell each other how often sites were asked, so that limits hold when another takes over. */
    edges: z.array(z.strictObject({ name: z.string().regex(wordPattern), address: z.ipv4() })).optional(),
  })
  .superRefine((document, context) => {
    const say = (message: string) => context.addIssue({ code: 'custom', message });
    const pools = new Set(document.pools.map((pool) => pool.name));
    const pool = repeated(document.pools.map((one) => one.name));
    if (pool !== undefined) say(`the pool ${pool} is listed twice`);
    for (const one of document.pools) {
      const server = repeated(one.servers.map((each) => each.name));
      if (server !== undefined) say(`the server ${server} is listed twice in the pool ${one.name}`);
    }
    const host = repeated(document.hosts.map((one) => one.host));
    if (host !== undefined) say(`the host ${host} is listed twice`);
    for (const one of document.hosts) {
      if (!pools.has(one.pool)) say(`the host ${one.host} is on the pool ${one.pool}, which is not listed`);
    }
  });

export type EdgeHost = z.infer<typeof edgeHost>;
export type EdgeDocument = z.infer<typeof edgeDocument>;

/** What an agent answers to `edge.apply`: what it had to do, so that a change can be told from a repetition. */
export const edgeApplied = z.strictObject({
  version: z.int(),
  /** True when the set of pools or the trusted proxies changed, so that HAProxy had to load its file again. */
  reloaded: z.boolean(),
  serversAdded: z.int(),
  serversChanged: z.int(),
  serversRemoved: z.int(),
  /** Servers that should be gone but still have connections; the next apply tries again. */
  serversLeaving: z.array(z.string()),
  mapEntriesChanged: z.int(),
  durationMs: z.number(),
});

export type EdgeApplied = z.infer<typeof edgeApplied>;
