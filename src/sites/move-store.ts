// What of the table `site` changes in a move. Apart from its other SQL (store.ts) because the states of a move are read together.
//
// moving_to: the pool that it is on its way to. held: null: served; edge: its visitors wait at the edges; closed: and its old pool's
// nodes have no PHP for it. Every way ends with both null, on the old pool or on the new one.
import type { Sql } from '../platform/store.ts';
import type { SiteRow } from './store.ts';

/** On its way to a pool, or no more (null); never held. */
export async function storeMoving(sql: Sql, id: string, to: string | null, version: number): Promise<void> {
  await sql.query('UPDATE site SET moving_to = $2, held = NULL, config_version = $3 WHERE id = $1', [id, to, version]);
}

/** Without a version only the edges hear of it. */
export async function storeHeld(sql: Sql, id: string, held: SiteRow['held'], version?: number): Promise<void> {
  await sql.query('UPDATE site SET held = $2, config_version = coalesce($3, config_version) WHERE id = $1', [
    ...[id, held, version ?? null],
  ]);
}

/** Lives on the pool that it was moving to. */
export async function storeMoved(sql: Sql, id: string, placement: string, version: number): Promise<void> {
  await sql.query(
    `UPDATE site SET pool = moving_to, generation = (SELECT generation FROM pool WHERE pool.name = moving_to), moving_to = NULL,
       held = NULL, placement = $2, config_version = $3 WHERE id = $1`,
    [id, placement, version],
  );
}
