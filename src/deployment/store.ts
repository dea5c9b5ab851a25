// The table `deployment`: its SQL and nobody else's.
import type { Sql } from '../platform/store.ts';

export interface DeploymentRow {
  wanted: 'up' | 'down';
  /** Where visitors reach the edge on this machine; null before the first `up`. */
  httpPort: number | null;
  greeted: boolean;
}

export async function readDeployment(sql: Sql): Promise<DeploymentRow> {
  const [row] = await sql.query<DeploymentRow>('SELECT wanted, http_port AS "httpPort", greeted FROM deployment');
  if (row === undefined) throw new Error('the table deployment has its one row from its migration');
  return row;
}

export async function storeWanted(sql: Sql, wanted: DeploymentRow['wanted']): Promise<void> {
  await sql.query('UPDATE deployment SET wanted = $1', [wanted]);
}

export async function storeHttpPort(sql: Sql, port: number): Promise<void> {
  await sql.query('UPDATE deployment SET http_port = $1', [port]);
}

export async function storeGreeted(sql: Sql): Promise<void> {
  await sql.query('UPDATE deployment SET greeted = true');
}

/** As before the first `up`. */
export async function resetDeployment(sql: Sql): Promise<void> {
  await sql.query(`UPDATE deployment SET wanted = 'down', http_port = NULL, greeted = false`);
}
