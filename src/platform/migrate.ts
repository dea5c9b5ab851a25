// Brings the database to the program's schema: numbered SQL files, each run once, in one transaction, its checksum
// recorded. Apart from the stores because it is the same on both engines.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { storeProblems } from './store/problems.ts';
import type { Sql, Store } from './store.ts';

export interface Migration {
  number: number;
  /** The file's name: `0001-platform.sql`. */
  name: string;
  text: string;
  checksum: string;
}

/** Where the program's own migrations lie. */
export const migrationsDir: string = join(import.meta.dirname, 'migrations');

/** Reads a folder of `NNNN-name.sql` files in the order of their numbers. Throws `store.migration-name`. */
export async function readMigrations(dir: string = migrationsDir): Promise<Migration[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.sql')).sort();
  const migrations: Migration[] = [];
  for (const name of names) {
    const number = Number(/^(\d{4})-[a-z0-9-]+\.sql$/.exec(name)?.[1]);
    if (Number.isNaN(number)) throw storeProblems.make('migration-name', { name, why: 'is not NNNN-name.sql' });
    if (migrations.at(-1)?.number === number)
      throw storeProblems.make('migration-name', { name, why: 'its number is taken' });
    const text = await readFile(join(dir, name), 'utf8');
    migrations.push({ number, name, text, checksum: createHash('sha256').update(text).digest('hex') });
  }
  return migrations;
}

// An arbitrary number that only this program's migrations use (`espa` in ASCII).
const LOCK = 0x65737061;

/**
 * Runs what has not run yet and returns the names. Several controllers may call it at once: each migration's transaction
 * takes an advisory lock first. A number below the highest that ran is fine, since each room numbers its own. Throws
 * `store.migration-edited`, `store.migration-missing` or `store.migration-failed`; what ran before the failing one stays.
 */
export async function runMigrations(store: Store, migrations?: readonly Migration[]): Promise<string[]> {
  const all = migrations ?? (await readMigrations());
  const ran: string[] = [];
  for (;;) {
    const name = await store.transaction((sql) => runNext(sql, all), 'read committed');
    if (name === undefined) return ran;
    ran.push(name);
  }
}

async function runNext(sql: Sql, all: readonly Migration[]): Promise<string | undefined> {
  await sql.query('select pg_advisory_xact_lock($1)', [LOCK]);
  await sql.script(`create table if not exists migration (
    number int primary key, name text not null, checksum text not null, ran_at timestamptz not null default now())`);
  const done = await sql.query<{ number: number; name: string; checksum: string }>(
    'select number, name, checksum from migration',
  );
  for (const { number, name, checksum } of done) {
    const known = all.find((migration) => migration.number === number);
    if (known === undefined) throw storeProblems.make('migration-missing', { name });
    if (known.checksum !== checksum) throw storeProblems.make('migration-edited', { name: known.name });
  }
  const next = all.find(({ number }) => !done.some((row) => row.number === number));
  if (next === undefined) return undefined;
  try {
    await sql.script(next.text);
  } catch (error) {
    const why = `line ${readLine(next.text, error)}: ${error instanceof Error ? error.message : String(error)}`;
    throw storeProblems.make('migration-failed', { name: next.name, why }, error);
  }
  await sql.query('insert into migration (number, name, checksum) values ($1, $2, $3)', [
    next.number,
    next.name,
    next.checksum,
  ]);
  return next.name;
}

/** The line in which the database saw the error; it counts characters from 1. */
function readLine(text: string, error: unknown): number {
  const position = Number((error as { position?: unknown } | null)?.position ?? 1);
  return text.slice(0, position - 1).split('\n').length;
}
