// Runs each case of a test on both engines: PGlite in memory, and a database of its own on a real PostgreSQL. Apart from
// the tests because every room's store is tested this way.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, openAsBlob } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import pg from 'pg';
import { type Migration, readMigrations, runMigrations } from './migrate.ts';
import { makeStore } from './store/make-store.ts';
import { makePgliteLender } from './store/pglite.ts';
import { makePostgresqlLender } from './store/postgresql.ts';
import { type Store, toJsonValue } from './store.ts';

/** What a case gets: a migrated, otherwise empty store. */
export interface StoreCase {
  readonly store: Store;
  /** Another controller's store of the same database; only PostgreSQL has that (see `store.engine`). */
  openAnother(): Store;
}

/** One case; runs once on each engine. */
export type StoreTest = (title: string, work: (given: StoreCase) => Promise<void>) => void;

interface Engine {
  readonly store: Store;
  openAnother(): Store;
  close(): Promise<void>;
}

/** The platform's own migrations, so that its tests do not fail for another room's. */
export async function readPlatformMigrations(): Promise<Migration[]> {
  return (await readMigrations()).filter(({ number }) => number < 10);
}

/**
 * Declares the cases twice: on PGlite, and on the PostgreSQL server that ESPALIER_TEST_POSTGRES names (else those are
 * skipped, loudly). The file's database is made once and emptied after each case.
 */
export function withStores(declare: (test: StoreTest, engine: Store['engine']) => void, choose = readMigrations): void {
  const url = process.env.ESPALIER_TEST_POSTGRES;
  declareFor('pglite', async () => openPglite(await choose()), declare, false);
  const skip =
    url === undefined ? 'ESPALIER_TEST_POSTGRES is not set: NOTHING of this was tested on PostgreSQL' : false;
  declareFor('postgresql', async () => openPostgresql(url ?? '', await choose()), declare, skip);
}

function declareFor(
  name: Store['engine'],
  open: () => Promise<Engine>,
  declare: (test: StoreTest, engine: Store['engine']) => void,
  skip: string | false,
): void {
  void describe(`on ${name}`, { skip }, () => {
    let engine: Engine | undefined;
    let reset = async () => {};
    before(async () => {
      engine = await open();
      reset = await prepareReset(engine.store);
    });
    afterEach(() => reset());
    after(() => engine?.close());
    declare((title, work) => {
      void it(title, async () => {
        if (engine === undefined) throw new Error(`no ${name}`);
        await work(engine);
      });
    }, name);
  });
}

/** Empties all tables, and puts back the rows that migrations made. */
async function prepareReset(store: Store): Promise<() => Promise<void>> {
  const tables = await store.query<{ name: string }>(
    `select quote_ident(tablename) as name from pg_tables where schemaname = 'public' and tablename <> 'migration' order by 1`,
  );
  const seeds: { name: string; rows: string }[] = [];
  for (const { name } of tables) {
    const rows = await store.query<{ row: unknown }>(`select to_jsonb(t) as row from ${name} t`);
    if (rows.length > 0) seeds.push({ name, rows: toJsonValue(rows.map(({ row }) => row)) });
  }
  if (tables.length === 0) return async () => {};
  return () =>
    store.transaction(async (sql) => {
      await sql.query(`truncate ${tables.map(({ name }) => name).join(', ')} restart identity cascade`);
      for (const { name, rows } of seeds) {
        await sql.query(
          `insert into ${name} overriding system value select * from jsonb_populate_recordset(null::${name}, $1::jsonb)`,
          [rows],
        );
      }
    }, 'read committed');
}

function readVersion(migrations: readonly Migration[]): string {
  const hash = createHash('sha256');
  for (const { name, checksum } of migrations) hash.update(`${name} ${checksum}\n`);
  return hash.digest('hex').slice(0, 16);
}

/** From a dump of a migrated database, made by whichever test needs it first: three times as fast as making one anew. */
export async function openPglite(migrations: readonly Migration[]): Promise<Engine> {
  const dump = join(tmpdir(), `espalier-test-pglite-0.5.16-${readVersion(migrations)}.tar`);
  const from = existsSync(dump) ? await openAsBlob(dump) : undefined;
  const lender = await makePgliteLender(from === undefined ? {} : { from });
  const store = makeStore(lender);
  if (from === undefined) {
    await runMigrations(store, migrations);
    const made = await lender.pglite.dumpDataDir('none');
    const draft = `${dump}.${process.pid}`;
    await writeFile(draft, new Uint8Array(await made.arrayBuffer()));
    await rename(draft, dump);
  }
  return {
    store,
    openAnother: () => {
      throw new Error('PGlite has one controller only');
    },
    close: () => store.close(),
  };
}

/** A clone of a migrated template, which the first test that needs it makes. */
export async function openPostgresql(url: string, migrations: readonly Migration[]): Promise<Engine> {
  const name = `espalier_test_${process.pid}_${randomBytes(4).toString('hex')}`;
  await withAdmin(url, async (admin) => {
    await admin.query('select pg_advisory_lock(1)');
    await admin.query(`create database ${name} template ${await makeTemplate(admin, url, migrations)}`);
  });
  const open = () => makeStore(makePostgresqlLender({ url: renderUrl(url, name) }));
  const store = open();
  const others: Store[] = [];
  return {
    store,
    openAnother() {
      const other = open();
      others.push(other);
      return other;
    },
    async close() {
      await Promise.all([store, ...others].map((one) => one.close()));
      await withAdmin(url, (admin) => admin.query(`drop database if exists ${name} with (force)`));
    },
  };
}

async function makeTemplate(admin: pg.Client, url: string, migrations: readonly Migration[]): Promise<string> {
  const template = `espalier_template_${readVersion(migrations)}`;
  const { rowCount } = await admin.query('select from pg_database where datname = $1', [template]);
  if (rowCount !== 0) return template;
  const draft = `${template}_draft`;
  await admin.query(`drop database if exists ${draft} with (force)`);
  await admin.query(`create database ${draft}`);
  const store = makeStore(makePostgresqlLender({ url: renderUrl(url, draft) }));
  try {
    await runMigrations(store, migrations);
  } finally {
    await store.close();
  }
  await admin.query(`alter database ${draft} rename to ${template}`);
  return template;
}

async function withAdmin<T>(url: string, work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}

/** The same server, another database. */
function renderUrl(url: string, database: string): string {
  return url.replace(/^([a-z]+:\/\/[^/]*\/)[^?]*/, `$1${database}`);
}
