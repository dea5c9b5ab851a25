// The tables `image`, `image_files` and `image_number`: their SQL and nobody else's.
import { type Sql, toJsonValue } from '../platform/store.ts';

/** ready: can be used. deleting: nobody may begin to use it; it is being removed. */
export type ImageState = 'ready' | 'deleting';

export interface ImageRow {
  recipe: string;
  number: number;
  fingerprint: string;
  /** The content of the recipe it was baked from. */
  hash: string;
  appVersion: string;
  /** Package names with their versions. */
  packages: Record<string, string>;
  state: ImageState;
  /** The image below it, `recipe/number`; null of bases. */
  parent: string | null;
  /** The seed that a person baked it from; null: baked from the recipe alone. */
  seed: string | null;
  /** Alike for images with the same files; null of layers. */
  filesHash: string | null;
  /** Why a person wants it kept. */
  keptBecause: string | null;
  /** The id of the site whose own code is in it; null of those for everybody. */
  ownSite: string | null;
  /** Where that code came from. */
  code: CodeOrigin | null;
  createdAt: string;
}

/** Where a site's own code came from. `commit`: of a repository; of a plain folder a checksum of its files, `sha256:…`. */
export interface CodeOrigin {
  source: string;
  ref: string | null;
  commit: string;
  subject: string;
}

/** What a bake stores. `files`: packed, or null of layers (see contents.ts). */
export type NewImage = Pick<
  ImageRow,
  'recipe' | 'fingerprint' | 'hash' | 'appVersion' | 'packages' | 'parent' | 'seed' | 'filesHash' | 'ownSite' | 'code'
> & { files: string | null };

const IMAGE = `recipe, number, fingerprint, hash, app_version AS "appVersion", packages, state, parent, seed,
  files_hash AS "filesHash", kept_because AS "keptBecause", own_site AS "ownSite", code, created_at AS "createdAt"`;

/** `recipe/number`. */
export const nameOf = (image: { recipe: string; number: number }): string => `${image.recipe}/${image.number}`;

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

/** What a new node asks of its image: without the lists of its packages and files, which are long. */
export async function readFingerprint(
  sql: Sql,
  recipe: string,
  number: number,
): Promise<Pick<ImageRow, 'fingerprint' | 'state'> | undefined> {
  const text = 'SELECT fingerprint, state FROM image WHERE recipe = $1 AND number = $2';
  return (await sql.query<Pick<ImageRow, 'fingerprint' | 'state'>>(text, [recipe, number]))[0];
}

/** The newest that can be used by everybody, or, with `ownSite`, the newest with that site's own code. */
export async function readNewest(
  sql: Sql,
  recipe: string,
  ownSite: string | null = null,
): Promise<ImageRow | undefined> {
  const rows = await sql.query<ImageRow>(
    `SELECT ${IMAGE} FROM image WHERE recipe = $1 AND own_site IS NOT DISTINCT FROM $2 AND state = 'ready'
     ORDER BY number DESC LIMIT 1`,
    [recipe, ownSite],
  );
  return rows[0];
}

/** Stores a bake under the next number, which no other had; the same fingerprint again keeps its number. */
export async function insertImage(sql: Sql, image: NewImage): Promise<ImageRow> {
  const { recipe } = image;
  const known = await sql.query<ImageRow>(`SELECT ${IMAGE} FROM image WHERE recipe = $1 AND fingerprint = $2`, [
    recipe,
    image.fingerprint,
  ]);
  if (known[0] !== undefined) return known[0];
  const [row] = await sql.query<ImageRow>(
    `WITH next AS (
       INSERT INTO image_number (recipe, last) VALUES ($1, 1)
       ON CONFLICT (recipe) DO UPDATE SET last = image_number.last + 1 RETURNING last)
     INSERT INTO image (recipe, number, fingerprint, hash, app_version, packages, parent, seed, files_hash, own_site, code)
     SELECT $1, last, $2, $3, $4, $5::jsonb, $6, $7, $8, $9, $10::jsonb FROM next RETURNING ${IMAGE}`,
    [
      ...[recipe, image.fingerprint, image.hash, image.appVersion, toJsonValue(image.packages)],
      ...[image.parent, image.seed, image.filesHash, image.ownSite],
      image.code === null ? null : toJsonValue(image.code),
    ],
  );
  if (row === undefined) throw new Error('an insert that returns gives a row');
  if (image.files !== null) {
    const values = [recipe, row.number, image.files];
    await sql.query('INSERT INTO image_files (recipe, number, packed) VALUES ($1, $2, $3)', values);
  }
  return row;
}

/** Its files, packed; undefined when nobody listed them. */
export async function readImageFiles(sql: Sql, recipe: string, number: number): Promise<string | undefined> {
  const rows = await sql.query<{ packed: string }>('SELECT packed FROM image_files WHERE recipe = $1 AND number = $2', [
    recipe,
    number,
  ]);
  return rows[0]?.packed;
}

export async function storeImageState(sql: Sql, recipe: string, number: number, state: ImageState): Promise<void> {
  await sql.query('UPDATE image SET state = $3 WHERE recipe = $1 AND number = $2', [recipe, number, state]);
}

/** `because` null: the rule decides again. False when there is no such image. */
export async function storeKept(sql: Sql, recipe: string, number: number, because: string | null): Promise<boolean> {
  const rows = await sql.query(
    'UPDATE image SET kept_because = $3 WHERE recipe = $1 AND number = $2 RETURNING number',
    [recipe, number, because],
  );
  return rows.length > 0;
}

export async function deleteImage(sql: Sql, recipe: string, number: number): Promise<void> {
  await sql.query('DELETE FROM image WHERE recipe = $1 AND number = $2', [recipe, number]);
}

export async function deleteAllImages(sql: Sql): Promise<void> {
  await sql.query('DELETE FROM image');
  await sql.query('DELETE FROM image_number');
}
