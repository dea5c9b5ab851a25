// Secrets in the store, encrypted with a key that is not in the store. Apart so that no room ever holds a
// ciphertext or a key, and a copy of the database alone gives nothing away.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { commonProblems } from '../lib/errors.ts';
import { addKey, type KeyRing, readKeyRing, writeKeyRing } from './secret-keys.ts';
import { secretProblems } from './secret-problems.ts';
import type { Sql, Store } from './store.ts';

export interface Secrets {
  /** Stores or replaces. Names are paths: `site/s1a2b3c4d5/database-password`. */
  put(sql: Sql, name: string, value: string): Promise<void>;
  /** Throws `common.not-found`. */
  read(sql: Sql, name: string): Promise<string>;
  /** All whose name begins with `prefix`, by name. */
  readAll(sql: Sql, prefix: string): Promise<Record<string, string>>;
  /** Nothing happens when there is none. */
  remove(sql: Sql, name: string): Promise<void>;
  removeAll(sql: Sql, prefix: string): Promise<void>;
  /** Makes a new key and encrypts everything with it; returns how many secrets were re-encrypted. */
  rotate(store: Store): Promise<number>;
}

interface Row {
  name: string;
  keyId: string;
  nonce: Uint8Array;
  ciphertext: Uint8Array;
}

const COLUMNS = 'name, key_id as "keyId", nonce, ciphertext';
const ROTATE_BATCH = 200;
// The nonce's 12 bytes and the tag's 16 are what AES-GCM is specified for (NIST SP 800-38D).
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** The name is bound in as additional data, so that a row copied under another name does not decrypt. */
function encrypt(ring: KeyRing, name: string, value: string): Row {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', keyOf(ring, ring.current, ''), nonce).setAAD(Buffer.from(name));
  const ciphertext = Buffer.concat([cipher.update(value, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return { name, keyId: ring.current, nonce, ciphertext };
}

function decrypt(ring: KeyRing, path: string, { name, keyId, nonce, ciphertext }: Row): string {
  const decipher = createDecipheriv('aes-256-gcm', keyOf(ring, keyId, path), nonce).setAAD(Buffer.from(name));
  try {
    decipher.setAuthTag(ciphertext.subarray(-TAG_BYTES));
    return decipher.update(ciphertext.subarray(0, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
  } catch (error) {
    throw secretProblems.make('not-genuine', { name }, error);
  }
}

function keyOf(ring: KeyRing, keyId: string, path: string): Buffer {
  const key = ring.keys.get(keyId);
  if (key === undefined) throw secretProblems.make('key-missing', { path, keyId });
  return key;
}

async function store({ name, keyId, nonce, ciphertext }: Row, sql: Sql): Promise<void> {
  await sql.query(
    `insert into secret (name, key_id, nonce, ciphertext) values ($1, $2, $3, $4)
     on conflict (name) do update set key_id = $2, nonce = $3, ciphertext = $4, changed_at = now()`,
    [name, keyId, nonce, ciphertext],
  );
}

/**
 * Opens the secrets of a migrated store. The key file (mode 0600) is made when it is missing and the store has no
 * secrets yet; with several controllers, each needs a copy. Throws `secrets.key-missing` for a store of another key.
 */
export async function openSecrets(options: { store: Store; keyFile: string }): Promise<Secrets> {
  const path = options.keyFile;
  let ring = (await readKeyRing(path)) ?? (await makeFirstKey(options.store, path));

  /** Another controller on this machine may have rotated since the file was read. */
  async function readRing(keyIds: readonly string[]): Promise<KeyRing> {
    if (!keyIds.every((id) => ring.keys.has(id))) ring = (await readKeyRing(path)) ?? ring;
    return ring;
  }

  async function readRows(sql: Sql, where: string, values: unknown[]): Promise<[string, string][]> {
    const rows = await sql.query<Row>(`select ${COLUMNS} from secret where ${where} order by name`, values);
    const keys = await readRing(rows.map(({ keyId }) => keyId));
    return rows.map((row) => [row.name, decrypt(keys, path, row)]);
  }

  return {
    put: (sql, name, value) => store(encrypt(ring, name, value), sql),
    async read(sql, name) {
      const [found] = await readRows(sql, 'name = $1', [name]);
      if (found === undefined) throw commonProblems.make('not-found', { noun: 'secret', name });
      return found[1];
    },
    async readAll(sql, prefix) {
      return Object.fromEntries(await readRows(sql, 'starts_with(name, $1)', [prefix]));
    },
    async remove(sql, name) {
      await sql.query('delete from secret where name = $1', [name]);
    },
    async removeAll(sql, prefix) {
      await sql.query('delete from secret where starts_with(name, $1)', [prefix]);
    },
    async rotate(target) {
      const next = addKey(ring);
      // The file first: a secret must never need a key that is not on disk.
      await writeKeyRing(path, next, 'replace');
      ring = next;
      let rotated = 0;
      for (;;) {
        const count = await target.transaction((sql) => rotateBatch(sql, next, path));
        rotated += count;
        if (count < ROTATE_BATCH) break;
      }
      const current = new Map([...next.keys].filter(([id]) => id === next.current));
      ring = { current: next.current, keys: current };
      await writeKeyRing(path, ring, 'replace');
      return rotated;
    },
  };
}

async function makeFirstKey(target: Store, path: string): Promise<KeyRing> {
  const [used] = await target.query<{ keyId: string }>('select key_id as "keyId" from secret limit 1');
  if (used !== undefined) throw secretProblems.make('key-missing', { path, keyId: used.keyId });
  const ring = addKey(undefined);
  await writeKeyRing(path, ring, 'fresh');
  return ring;
}

async function rotateBatch(sql: Sql, ring: KeyRing, path: string): Promise<number> {
  const rows = await sql.query<Row>(
    `select ${COLUMNS} from secret where key_id <> $1 order by name limit ${ROTATE_BATCH} for update`,
    [ring.current],
  );
  for (const row of rows) await store(encrypt(ring, row.name, decrypt(ring, path, row)), sql);
  return rows.length;
}
