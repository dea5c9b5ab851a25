// Database servers over HTTP.
import type { ApiRoutes } from '../platform/http.ts';
import type { Store } from '../platform/store.ts';
import { makeServiceRoutes } from '../services/routes.ts';
import type { Databases } from './databases.ts';

/** Memory of a new server: a buffer pool of 512 MiB holds the hot pages of some hundred small sites. */
export const NEW_DATABASE = { memoryMb: 1024, maxSites: 500 };

/** /v1/databases. */
export function makeDatabaseRoutes(parts: { store: Store; databases: Databases }): ApiRoutes {
  const words = { path: '/v1/databases', tag: 'databases', schema: 'DatabaseServer', defaults: NEW_DATABASE };
  return makeServiceRoutes(parts.store, parts.databases, words);
}
