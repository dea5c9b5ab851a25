// What every file of this room is given. The databases, caches, pools and apps are named here by the few things that a
// site needs of them, so that each file says at its head what it touches.

import type { Recipe } from '../apps/recipe.ts';
import type { Databases } from '../databases/databases.ts';
import type { CacheSite } from '../engines/cache-engine.ts';
import type { ImageParts } from '../images/parts.ts';
import type { Events } from '../platform/events.ts';
import type { Operations } from '../platform/operations/operation.ts';
import type { Secrets } from '../platform/secrets.ts';
import type { Json, Sql, Store } from '../platform/store.ts';
import type { PoolParts } from '../pools/parts.ts';

/** A server that was chosen for a site, with where to reach it and why it was chosen. */
export interface ChosenServer {
  id: string;
  host: string;
  port: number;
  reason: string;
}

/** What sites need of the database servers. */
export type SiteDatabases = Pick<
  Databases,
  | 'place'
  | 'createSite'
  | 'dropSite'
  | 'setLimits'
  | 'lockSite'
  | 'unlockSite'
  | 'dump'
  | 'restore'
  | 'removeDump'
  | 'readDump'
  | 'writeDump'
  | 'load'
  | 'dumpPath'
>;

export interface SiteCaches {
  place(sql: Sql): Promise<ChosenServer>;
  setSite(server: string, site: CacheSite, signal: AbortSignal): Promise<void>;
  removeSite(server: string, site: { name: string; prefix: string }, signal: AbortSignal): Promise<void>;
}

/** What becomes of a site's tasks when it comes, opens and closes. */
export interface SiteTasks {
  /** A site was stored: its recipe's tasks with it, closed. */
  created(sql: Sql, site: { id: string; app: string }): Promise<void>;
  /** What a site's tasks are beyond its recipe, to go along with it. */
  list(sql: Sql, site: string): Promise<Json[]>;
  /** Stores such for a site that is not open yet. Safe to repeat. */
  store(sql: Sql, site: string, tasks: readonly Json[]): Promise<void>;
  /** It is ready; `waited`: tasks that are due at once, since a run of theirs waited when the site was paused. */
  opened(sql: Sql, site: string, waited?: readonly string[]): Promise<void>;
  /** It is about to move: nothing of its tasks is due any more; resolves when what runs has ended by itself, with the tasks of which a run waited. */
  paused(site: string, signal: AbortSignal): Promise<string[]>;
  /** Nothing of its tasks may run; resolves when nothing runs or can start. What runs has `patienceMs` to end by itself. */
  closed(site: string, signal: AbortSignal, patienceMs?: number): Promise<void>;
}

export interface SiteParts {
  store: Store;
  operations: Operations;
  events: Events;
  secrets: Secrets;
  databases: SiteDatabases;
  caches: SiteCaches;
  tasks: SiteTasks;
  /** The pools room's own parts: sites exec in its nodes and sync its configuration. */
  pools: PoolParts;
  /** The images room's own parts: a site may have code of its own. */
  images: ImageParts;
  /** The recipe of an app, by name. */
  readRecipe(app: string): Recipe | undefined;
  appNames(): string[];
  /** The account host that nodes connect from, as `10.87.0.0/255.255.240.0`. */
  readAllowedFrom(): Promise<string>;
  /** Where files lie that people sent to be imported. */
  uploadsDir: string;
  /** How visitors reach the edge. */
  publicAddress: PublicAddress;
}

export interface PublicAddress {
  scheme: 'http' | 'https';
  port: number;
}

/** The address of a host as visitors write it, without a slash at its end. */
export function urlOf(address: PublicAddress, host: string): string {
  const usual = address.scheme === 'http' ? 80 : 443;
  return `${address.scheme}://${host}${address.port === usual ? '' : `:${address.port}`}`;
}

/** The operation's lock on a site. */
export const siteLock = (id: string): string => `site:${id}`;
/** The folder of a site's secrets. */
export const secretsOf = (id: string): string => `site/${id}/`;
