// Cache servers over HTTP.
import type { ApiRoutes } from '../platform/http.ts';
import type { Store } from '../platform/store.ts';
import { makeServiceRoutes } from '../services/routes.ts';
import type { Caches } from './caches.ts';

/** Memory of a new server: sessions and cached objects of some hundred small sites take a megabyte each at most. */
export const NEW_CACHE = { memoryMb: 512, maxSites: 500 };

/** /v1/caches. */
export function makeCacheRoutes(parts: { store: Store; caches: Caches }): ApiRoutes {
  const words = { path: '/v1/caches', tag: 'caches', schema: 'CacheServer', defaults: NEW_CACHE };
  return makeServiceRoutes(parts.store, parts.caches, words);
}
