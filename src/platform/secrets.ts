// Secrets in the store, encrypted with a key that is not in the store. Apart so that no room ever holds a
// ciphertext or a key, and a copy of the database alone gives nothing away.
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
