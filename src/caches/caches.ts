// The caches room as others see it: makes and looks after cache servers, places sites on them, and does what a site
// needs of its server.
import type { CacheEngine, CacheSite } from '../engines/cache-engine.ts';
import type { Sql } from '../platform/store.ts';
import type { ServiceLogin, ServiceParts } from '../services/kind.ts';
import { type ChosenService, placeOnService } from '../services/place.ts';
import { makeService, type Service } from '../services/service.ts';
import { makeCacheKind } from './kind.ts';
import { cacheProblems } from './problems.ts';

export interface CacheParts extends Omit<ServiceParts<CacheEngine>, 'kind' | 'problems'> {
  /** `connectValkey()`, or the simulated one. */
  makeEngine(login: ServiceLogin): CacheEngine;
}

/** All servers are named by their name in the store; `common.not-found` for one that is unknown. */
export interface Caches extends Service<CacheEngine> {
  /** Chooses the server for a new site; the caller stores the choice in the same transaction. */
  place(sql: Sql): Promise<ChosenService>;
  setSite(server: string, site: CacheSite, signal: AbortSignal): Promise<void>;
  removeSite(server: string, site: { name: string; prefix: string }, signal: AbortSignal): Promise<void>;
  lockSite(server: string, name: string, signal: AbortSignal): Promise<void>;
  unlockSite(server: string, name: string, signal: AbortSignal): Promise<void>;
}

/** Makes the room and registers its operations. */
export function makeCaches({ makeEngine, ...rest }: CacheParts): Caches {
  const parts = { ...rest, kind: makeCacheKind(makeEngine), problems: cacheProblems };
  const service = makeService(parts);
  const { engineFor } = service;
  return {
    ...service,
    place: (sql) => placeOnService(parts, sql),
    setSite: async (server, site, signal) => (await engineFor(server)).setSite(site, signal),
    removeSite: async (server, site, signal) => (await engineFor(server)).removeSite(site, signal),
    lockSite: async (server, name, signal) => (await engineFor(server)).lockSite(name, signal),
    unlockSite: async (server, name, signal) => (await engineFor(server)).unlockSite(name, signal),
  };
}
