// Opens the controller's state. Apart from store.ts so that rooms depend on what a store is, not on the two engines.
import { join } from 'node:path';
import { makeStore } from './store/make-store.ts';
import { makePgliteLender } from './store/pglite.ts';
import { makePostgresqlLender } from './store/postgresql.ts';
import type { Store } from './store.ts';

export interface OpenStoreOptions {
  /** A PostgreSQL server, `postgresql://…` (ESPALIER_DATABASE_URL); else PGlite. */
  url?: string;
  /** The controller's data directory; PGlite's files lie in `state` below it. Without it, and without a url: in memory. */
  dataDir?: string;
}

/** For asking who leads: apart from all other sessions, and rather without an answer than with a late one. */
export function openLeaseStore(url: string): Store {
  return makeStore(makePostgresqlLender({ url, maxConnections: 2, timeoutMs: 2_000 }));
}

/** Opens the store; `runMigrations` is the caller's next step. Throws `store.in-use` for a data directory that is open elsewhere. */
export async function openStore(options: OpenStoreOptions = {}): Promise<Store> {
  if (options.url !== undefined) return makeStore(makePostgresqlLender({ url: options.url }));
  const { dataDir } = options;
  return makeStore(await makePgliteLender(dataDir === undefined ? {} : { dataDir: join(dataDir, 'state') }));
}
