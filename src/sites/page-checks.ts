// Pages that show whether a node serves the sites of its pool. Apart because pools ask for them and may not know sites.
import type { Sql } from '../platform/store.ts';
import type { PageCheck } from '../pools/parts.ts';
import { type SiteParts, urlOf } from './parts.ts';
import { listSites } from './store.ts';

/** A bad image shows on any site; more would only take longer. */
const MOST = 5;

/** The check pages of the first ready sites of a pool. */
export async function listPageChecks(parts: SiteParts, sql: Sql, pool: string): Promise<PageCheck[]> {
  const ready = (await listSites(sql, { pool })).filter(({ state }) => state === 'ready');
  return ready.slice(0, MOST).flatMap(({ app, hosts }) => {
    const check = parts.readRecipe(app)?.site?.check;
    const host = new URL(urlOf(parts.publicAddress, hosts[0] ?? '')).host;
    return check === undefined ? [] : [{ host, ...check }];
  });
}
