// What every file of this room is given: the store, the engines, and the few things that it needs of rooms above it,
// as functions, because it may not import them.

import type { Fleet } from '../engines/fleet.ts';
import type { Clock } from '../lib/clock.ts';
import type { Events } from '../platform/events.ts';
import type { Operations } from '../platform/operations/operation.ts';
import type { Sql, Store } from '../platform/store.ts';
import type { AgentPort } from '../protocol/agent-port.ts';

/** A page that shows whether a node serves a site. */
export interface PageCheck {
  /** As a browser says it, port included. */
  host: string;
  path: string;
  status: number;
  contains?: string | undefined;
}

/** What the edges counted of a node since it came. */
export interface NodeTraffic {
  requests: number;
  /** Answers from 500 on, connections that failed, answers that broke off. */
  errors: number;
  responseTimeMs: number;
}

export interface PoolParts {
  deployment: string;
  store: Store;
  operations: Operations;
  events: Events;
  fleet: Fleet;
  agents: AgentPort;
  clock: Clock;
  /** The folder that all servers share, with its mark; undefined when there is none. */
  readSharedFolder(sql: Sql): Promise<{ path: string; id: string } | undefined>;
  /** The bridge network, as `10.87.0.1/20`. */
  readCidr(): Promise<string>;
  /** The fingerprint of an app's image by its number. */
  readFingerprint(sql: Sql, app: string, number: number): Promise<string>;
  /** The newest image of an app, with a site's own code where it has some; a problem when there is none. */
  readNewestImage(sql: Sql, app: string, ownSite?: string | null): Promise<{ number: number }>;
  /** Throws `image.of-site` when the image has a site's own code and the pool is not dedicated to that site. */
  assertFor(
    sql: Sql,
    image: { app: string; number: number },
    pool: { name: string; dedicatedTo: string | null },
  ): Promise<void>;
  /** The site of that name or id; undefined when there is none. */
  findSite(sql: Sql, site: string): Promise<{ id: string; name: string; app: string } | undefined>;
  /** Brings every edge to what the store says now. Gives the names of nodes that still have connections. */
  syncEdges(signal: AbortSignal): Promise<{ leaving: string[] }>;
  /** Throws `image.gone` unless the engine still has the image. */
  assertImage(app: string, number: number, signal: AbortSignal): Promise<void>;
  /** Pages of some sites of a pool that are ready. */
  listChecks(sql: Sql, pool: string): Promise<PageCheck[]>;
  /** What all edges together counted of each node of a pool. */
  readTraffic(pool: string, signal: AbortSignal): Promise<Map<string, NodeTraffic>>;
  /** Looks for work in the heal loop soon. */
  wakeHeal(): void;
  /** How many runs of tasks a node has. */
  countRuns(sql: Sql, node: string): Promise<number>;
  /** How many sites live on a pool, or on one of its generations. */
  countSites(sql: Sql, pool: string, generation?: number): Promise<number>;
}

/** The operation's lock on a pool. */
export const poolLock = (pool: string): string => `pool:${pool}`;
/** The operation's lock on a node. */
export const nodeLock = (node: string): string => `node:${node}`;
/** The volume that holds what a pool's sites' customers upload. */
export const contentVolume = (pool: string): string => `content-${pool}`;
/** Where the final backups of sites' files lie, in every node of the pool. */
export const BACKUPS_PATH = '/srv/content/.backups';
/** Bound of one call to an agent that only reads and writes a few files. */
export const AGENT_CALL_MS = 20_000;

/**
 * Has an agent read its list of nodes again. An agent that is away reads it when it comes back, so its absence holds up
 * nothing.
 */
export async function tellServer(
  parts: PoolParts,
  server: string | null | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (server == null || !parts.agents.connected().includes(server)) return;
  await parts.agents.call(server, 'server.sync', {}, { timeoutMs: AGENT_CALL_MS, signal });
}
/** An image's name, as people write it. */
export const nameOfImage = (app: string, number: number): string => `${app}/${number}`;
