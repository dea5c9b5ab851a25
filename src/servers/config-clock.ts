// The clock that orders every change of what agents must know. Apart because pools, sites and the edge all take
// their versions from it.
import type { Sql } from '../platform/store.ts';

/** Takes the next version; the row stays locked until the transaction ends, so versions appear in order. */
export async function takeConfigVersion(sql: Sql): Promise<number> {
  const rows = await sql.query<{ version: number }>('UPDATE config_clock SET version = version + 1 RETURNING version');
  return rows[0]?.version ?? 0;
}

/** The newest version that is visible. Read it before what it describes. */
export async function readConfigVersion(sql: Sql): Promise<number> {
  const rows = await sql.query<{ version: number }>('SELECT version FROM config_clock');
  return rows[0]?.version ?? 0;
}
