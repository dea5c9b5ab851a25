// Migrations: run once, in order, whole or not at all, by one controller at a time; and what is refused.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Problem } from '../lib/errors.ts';
import { type Migration, readMigrations, runMigrations } from './migrate.ts';
import { openStore } from './open-store.ts';
import { readPlatformMigrations, withStores } from './test-store.ts';

const make = (number: number, text: string): Migration => ({
  number,
  name: `${String(number).padStart(4, '0')}-test.sql`,
  text,
  checksum: createHash('sha256').update(text).digest('hex'),
});
const isProblem = (code: string) => (error: unknown) => error instanceof Problem && error.code === code;

// The cases begin with an empty list of migrations: the file's database has only the platform's table of them.
withStores(
  (test) => {
    const clean = 'drop table if exists migration, fruit, tree';

    test('they run once, in order, also one that comes later with a lower number', async ({ store }) => {
      await store.script(clean);
      const first = make(20, 'create table tree (n int); insert into tree values (1);');
      const second = make(30, 'alter table tree add m int;');
      assert.deepEqual(await runMigrations(store, [first, second]), ['0020-test.sql', '0030-test.sql']);
      assert.deepEqual(await runMigrations(store, [first, second]), []);
      const between = make(25, 'create table fruit (n int);');
      assert.deepEqual(await runMigrations(store, [first, between, second]), ['0025-test.sql']);
      assert.deepEqual(await store.query('select n, m from tree'), [{ n: 1, m: null }]);
    });

    test('one that fails leaves nothing behind and says the line', async ({ store }) => {
      await store.script(clean);
      const bad = make(20, 'create table tree (n int);\n\ncreate tabel fruit (n int);');
      await assert.rejects(runMigrations(store, [bad]), (error) => {
        assert.ok(isProblem('store.migration-failed')(error));
        assert.match((error as Problem).document.detail, /0020-test\.sql .*line 3: syntax error/);
        return true;
      });
      assert.deepEqual(await store.query(`select to_regclass('tree') as tree`), [{ tree: null }]);
      assert.deepEqual(await runMigrations(store, [make(20, 'create table tree (n int);')]), ['0020-test.sql']);
    });

    test('an edited one and a missing one are refused, and nothing runs', async ({ store }) => {
      await store.script(clean);
      const ran = make(20, 'create table tree (n int);');
      const next = make(30, 'create table fruit (n int);');
      await runMigrations(store, [ran]);
      await assert.rejects(
        runMigrations(store, [make(20, 'create table tree (n bigint);'), next]),
        isProblem('store.migration-edited'),
      );
      await assert.rejects(runMigrations(store, [next]), isProblem('store.migration-missing'));
      assert.deepEqual(await store.query(`select to_regclass('fruit') as fruit`), [{ fruit: null }]);
    });

    test('two controllers that start at once run each of them once', async ({ store, openAnother }) => {
      await store.script(clean);
      const all = [make(20, 'create table tree (n int);'), make(30, 'insert into tree values (1);')];
      const other = store.engine === 'postgresql' ? openAnother() : store;
      const ran = await Promise.all([runMigrations(store, all), runMigrations(other, all)]);
      assert.deepEqual(ran.flat().sort(), ['0020-test.sql', '0030-test.sql']);
      assert.deepEqual(await store.query('select n from tree'), [{ n: 1 }]);
    });
  },
  async () => [],
);

void test('files must be numbered, each with a number of its own', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'espalier-migrations-'));
  try {
    await writeFile(join(dir, '0001-a.sql'), '');
    await writeFile(join(dir, '0001-b.sql'), '');
    await assert.rejects(readMigrations(dir), isProblem('store.migration-name'));
    await rm(join(dir, '0001-b.sql'));
    await writeFile(join(dir, '2-b.sql'), '');
    await assert.rejects(readMigrations(dir), isProblem('store.migration-name'));
  } finally {
    await rm(dir, { recursive: true });
  }
});

void test("the program's own migrations run on an empty database", async () => {
  const store = await openStore();
  const migrations = await readPlatformMigrations();
  assert.equal((await runMigrations(store, migrations)).length, migrations.length);
  await store.close();
});
