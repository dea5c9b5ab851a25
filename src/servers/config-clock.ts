// The clock that orders every change of what agents must know. Apart because pools, sites and the edge all take
// their versions from it.
import type { Sql, Store } from '../platform/store.ts';

/** Takes the next version; the row stays locked until the transaction ends, so versions appear in order. */
export async function takeConfigVersion(sql: Sql): Promise<number> {
  const rows = await sql.query<{ version: number }>('UPDATE config_clock SET version = version + 1 RETURNING version');
  return rows[0]?.version ?? 0;
}

/**
 * One change of what agents must know, in a transaction of its own: it takes the next version first, and so comes after
 * all others that do. Read committed, since that row's lock already puts them one after the other; as serializable ones,
 * fifty at once would fail each other.
 */
export function changeConfig<T>(store: Store, work: (sql: Sql, version: number) => Promise<T>): Promise<T> {
  return store.transaction(async (sql) => work(sql, await takeConfigVersion(sql)), 'read committed');
}

/** The newest version that is visible. Read it before what it describes. */
export async function readConfigVersion(sql: Sql): Promise<number> {
  const rows = await sql.query<{ version: number }>('SELECT version FROM config_clock');
  return rows[0]?.version ?? 0;
}
