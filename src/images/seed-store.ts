// The table `seed`: its SQL and nobody else's.
import type { Sql } from '../platform/store.ts';

export type SeedState = 'creating' | 'ready' | 'deleting';

export interface SeedRow {
  name: string;
  recipe: string;
  /** What it was last made from, or baked to. */
  imageNumber: number;
  state: SeedState;
  createdBy: string;
  /** The id of the site for which images are baked from it; null: for everybody. */
  ownSite: string | null;
  createdAt: string;
}

const SEED = `name, recipe, image_number AS "imageNumber", state, created_by AS "createdBy", own_site AS "ownSite", created_at AS "createdAt"`;

/** The name of its container. */
export const seedInstance = (seed: string): string => `seed-${seed}`;

export function listSeeds(sql: Sql): Promise<SeedRow[]> {
  return sql.query<SeedRow>(`SELECT ${SEED} FROM seed ORDER BY name`);
}

export async function readSeed(sql: Sql, name: string): Promise<SeedRow | undefined> {
  return (await sql.query<SeedRow>(`SELECT ${SEED} FROM seed WHERE name = $1`, [name]))[0];
}

export async function insertSeed(
  sql: Sql,
  seed: Pick<SeedRow, 'name' | 'recipe' | 'imageNumber' | 'createdBy' | 'ownSite'>,
): Promise<void> {
  await sql.query(
    `INSERT INTO seed (name, recipe, image_number, state, created_by, own_site) VALUES ($1, $2, $3, 'creating', $4, $5)`,
    [seed.name, seed.recipe, seed.imageNumber, seed.createdBy, seed.ownSite],
  );
}

export async function storeSeedState(sql: Sql, name: string, state: SeedState): Promise<void> {
  await sql.query('UPDATE seed SET state = $2 WHERE name = $1', [name, state]);
}

export async function storeSeedImage(sql: Sql, name: string, imageNumber: number): Promise<void> {
  await sql.query('UPDATE seed SET image_number = $2 WHERE name = $1', [name, imageNumber]);
}

export async function deleteSeed(sql: Sql, name: string): Promise<void> {
  await sql.query('DELETE FROM seed WHERE name = $1', [name]);
}

export async function deleteAllSeeds(sql: Sql): Promise<void> {
  await sql.query('DELETE FROM seed');
}
