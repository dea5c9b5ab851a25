// The table `image`: its SQL and nobody else's.
import { type Sql, toJsonValue } from '../platform/store.ts';

export interface ImageRow {
  recipe: string;
  number: number;
  fingerprint: string;
  /** The content of the recipe it was baked from. */
  hash: string;
  appVersion: string;
  /** Package names with their versions. */
  packages: Record<string, string>;
  createdAt: string;
}

const IMAGE = 'recipe, number, fingerprint, hash, app_version AS "appVersion", packages, created_at AS "createdAt"';

/** Newest first of each recipe. */
export function listImages(sql: Sql, recipe?: string): Promise<ImageRow[]> {
  return sql.query<ImageRow>(
    `SELECT ${IMAGE} FROM image WHERE ($1::text IS NULL OR recipe = $1) ORDER BY recipe, number DESC`,
    [recipe ?? null],
  );
}

export async function readImage(sql: Sql, recipe: string, number: number): Promise<ImageRow | undefined> {
  return (
    await sql.query<ImageRow>(`SELECT ${IMAGE} FROM image WHERE recipe = $1 AND number = $2`, [recipe, number])
  )[0];
}

export async function readNewest(sql: Sql, recipe: string): Promise<ImageRow | undefined> {
  const rows = await sql.query<ImageRow>(`SELECT ${IMAGE} FROM image WHERE recipe = $1 ORDER BY number DESC LIMIT 1`, [
    recipe,
  ]);
  return rows[0];
}

/** Stores a bake under the next number; the same fingerprint again keeps its number. */
export async function insertImage(sql: Sql, image: Omit<ImageRow, 'number' | 'createdAt'>): Promise<ImageRow> {
  const known = await sql.query<ImageRow>(`SELECT ${IMAGE} FROM image WHERE recipe = $1 AND fingerprint = $2`, [
    image.recipe,
    image.fingerprint,
  ]);
  if (known[0] !== undefined) return known[0];
  const rows = await sql.query<ImageRow>(
    `INSERT INTO image (recipe, number, fingerprint, hash, app_version, packages)
     SELECT $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5::jsonb FROM image WHERE recipe = $1 RETURNING ${IMAGE}`,
    [image.recipe, image.fingerprint, image.hash, image.appVersion, toJsonValue(image.packages)],
  );
  const [row] = rows;
  if (row === undefined) throw new Error('an insert that returns gives a row');
  return row;
}

export async function deleteAllImages(sql: Sql): Promise<void> {
  await sql.query('DELETE FROM image');
}
