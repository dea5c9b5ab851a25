// What a store promises, on both engines: values, transactions, retries, and what it says when the database is away.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock, test } from 'node:test';
import fc from 'fast-check';
import { Problem } from '../lib/errors.ts';
import { openStore } from './open-store.ts';
import { type Json, type Sql, toJsonValue, violatedConstraint } from './store.ts';
import { readPlatformMigrations, withStores } from './test-store.ts';

const codeOf = (error: unknown) => (error instanceof Problem ? error.code : String(error));
const isProblem = (code: string) => (error: unknown) => codeOf(error) === code;
const put = (sql: Sql, name: string) =>
  sql.query(`insert into secret (name, key_id, nonce, ciphertext) values ($1, 'k', '', '')`, [name]);
const names = async (sql: Sql) =>
  (await sql.query<{ name: string }>('select name from secret order by name')).map(({ name }) => name);

withStores((test) => {
  test('a statement whose plan is kept gives the same again, in transactions too and after its table has changed', async ({
    store,
  }) => {
    const text = 'select name from secret where name = any($1::text[]) order by name';
    const find = (sql: Sql, ...asked: string[]) => sql.query(text, [asked], { keepPlan: true });
    await put(store, 'a');
    assert.deepEqual(await find(store, 'a', 'b'), [{ name: 'a' }]);
    await store.script('alter table secret add column extra int; alter table secret drop column extra');
    await store.transaction(async (sql) => {
      await put(sql, 'b');
      assert.deepEqual(await find(sql, 'a', 'b'), [{ name: 'a' }, { name: 'b' }]);
    });
    const wrong = store.query('select nothing from secret', [], { keepPlan: true });
    await assert.rejects(wrong);
    for (let turn = 0; turn < 8; turn += 1) assert.equal((await find(store, 'b')).length, 1);
  });

  test('every kind of value goes in and comes out the same', async ({ store }) => {
    const [row] = await store.query(
      `select $1::text as t, $2::int as i, $3::bigint as b, $4::bool as f, $5::float8 as d, $6::numeric as n,
         $7::bytea as y, $8::jsonb as o, $9::jsonb as a, $10::text[] as ta, $11::bigint[] as ba, $12::timestamptz as z,
         array[$12::timestamptz] as za, $13::date as dt, null as nothing, 9007199254740993 as big, '[1]'::json as j,
         '1 day'::interval as iv, array[array[1, 2], array[3, 4]] as nested, array[true, null] as fa,
         array[1.5::float8, 2] as da, array['plain', 'words/too'] as wa, array[]::text[] as none`,
      [
        'ä"\\\n',
        -7,
        8n,
        true,
        1.5,
        '12.50',
        new Uint8Array([0, 255]),
        { x: [1, 'ü', null] },
        toJsonValue(['a']),
        ['a"b', 'c\\d', '', null, 'NULL', '{,}'],
        [1, 2n],
        new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678)),
        '2026-01-02',
      ],
    );
    assert.deepEqual(row, {
      t: 'ä"\\\n',
      i: -7,
      b: 8,
      f: true,
      d: 1.5,
      n: '12.50',
      y: new Uint8Array([0, 255]),
      o: { x: [1, 'ü', null] },
      a: ['a'],
      ta: ['a"b', 'c\\d', '', null, 'NULL', '{,}'],
      ba: [1, 2],
      z: '2026-01-02T03:04:05.678Z',
      za: ['2026-01-02T03:04:05.678Z'],
      dt: '2026-01-02',
      nothing: null,
      big: 9007199254740993n,
      j: [1],
      iv: '1 day',
      nested: [
        [1, 2],
        [3, 4],
      ],
      fa: [true, null],
      da: [1.5, 2],
      wa: ['plain', 'words/too'],
      none: [],
    });
  });

  test('any JSON and any list of texts survive the way to the database and back', async ({ store }) => {
    // PostgreSQL has no zero character in text, and no half of a surrogate pair.
    const text = fc.string({ unit: 'grapheme' }).map((value) => value.replaceAll('\0', ''));
    const value = fc.jsonValue({ noUnicodeString: false, stringUnit: 'grapheme' } as fc.JsonSharedConstraints);
    await fc.assert(
      fc.asyncProperty(value, fc.array(fc.option(text)), async (json, texts) => {
        const clean = JSON.parse(JSON.stringify(json).replaceAll('\\u0000', '')) as Json;
        const [row] = await store.query('select $1::jsonb as json, $2::text[] as texts', [toJsonValue(clean), texts]);
        assert.deepEqual(row, { json: clean, texts });
      }),
      { numRuns: 50 },
    );
  });

  test('a transaction is there whole or not at all, and what follows the commit follows it once', async ({ store }) => {
    const followed: string[] = [];
    await store.transaction(async (sql) => {
      sql.afterCommit(() => followed.push('commit'));
      await sql.beforeCommit(async () => {
        followed.push('last');
        await put(sql, 'b');
      });
      await put(sql, 'a');
      assert.deepEqual(followed, []);
    });
    assert.deepEqual(followed, ['last', 'commit']);
    const failing = store.transaction(async (sql) => {
      sql.afterCommit(() => followed.push('never'));
      await put(sql, 'c');
      throw new Error('changed my mind');
    });
    await assert.rejects(failing, /changed my mind/);
    assert.deepEqual(await names(store), ['a', 'b']);
    assert.deepEqual(followed, ['last', 'commit']);
  });

  test('a failed statement fails its transaction even when its error was swallowed', async ({ store }) => {
    await put(store, 'a');
    const failing = store.transaction(async (sql) => {
      await put(sql, 'b');
      await put(sql, 'a').catch(() => {});
    });
    await assert.rejects(failing, (error) => violatedConstraint(error) === 'secret_pkey');
    assert.deepEqual(await names(store), ['a']);
  });

  test('a sql that outlives its transaction is refused', async ({ store }) => {
    const kept = await store.transaction(async (sql) => sql);
    await assert.rejects(kept.query('select 1'), /has ended/);
  });

  test('many transactions that read and then write the same row lose no update', async ({ store }) => {
    await put(store, 'counter');
    await Promise.all(
      Array.from({ length: 12 }, () =>
        store.transaction(async (sql) => {
          const [row] = await sql.query<{ key: string }>(`select key_id as key from secret where name = 'counter'`);
          await sql.query(`update secret set key_id = $1 where name = 'counter'`, [`${row?.key}+`]);
        }),
      ),
    );
    const [row] = await store.query<{ key: string }>('select key_id as key from secret');
    assert.equal(row?.key, `k${'+'.repeat(12)}`);
  });

  test('two transactions that lock in opposite orders both end', async ({ store }) => {
    await put(store, 'a');
    await put(store, 'b');
    const touch = (sql: Sql, name: string) =>
      sql.query('update secret set key_id = key_id || $2 where name = $1', [name, '+']);
    const cross = (first: string, second: string) =>
      store.transaction(async (sql) => {
        await touch(sql, first);
        await touch(sql, second);
      }, 'read committed');
    await Promise.all([cross('a', 'b'), cross('b', 'a'), cross('a', 'b'), cross('b', 'a')]);
    const rows = await store.query<{ key: string }>('select key_id as key from secret');
    assert.deepEqual(rows, [{ key: 'k++++' }, { key: 'k++++' }]);
  });
}, readPlatformMigrations);

void test('a PostgreSQL that does not answer is a retryable problem', async () => {
  const store = await openStore({ url: 'postgresql://nobody@127.0.0.1:1/none' });
  await assert.rejects(
    store.query('select 1'),
    (error) => codeOf(error) === 'store.away' && (error as Problem).retryable,
  );
  await store.close();
});

withStores((test, engine) => {
  if (engine !== 'postgresql') return;
  test('a session that the server ends is a retryable problem, and the next statement works again', async ({
    store,
  }) => {
    const ended = store.transaction(async (sql) => {
      await sql.query('select pg_terminate_backend(pg_backend_pid())');
    });
    await assert.rejects(ended, isProblem('store.away'));
    assert.deepEqual(await store.query('select 1 as one'), [{ one: 1 }]);
  });

  test('a session that the server ends between two statements ends its transaction, and nothing else', async ({
    store,
  }) => {
    const ended = store.transaction(async (sql) => {
      const [own] = await sql.query<{ pid: number }>('select pg_backend_pid() as pid');
      await store.query('select pg_terminate_backend($1)', [own?.pid]);
      const isThere = () => store.query('select from pg_stat_activity where pid = $1', [own?.pid]);
      while ((await isThere()).length > 0);
      // Round trips on other sessions: this one hears of its end meanwhile, with nobody waiting for an answer.
      for (let turn = 0; turn < 20; turn += 1) await store.query('select 1');
      await sql.query('select 1');
    });
    await assert.rejects(ended, isProblem('store.away'));
    assert.deepEqual(await store.query('select 1 as one'), [{ one: 1 }]);
  });
}, readPlatformMigrations);

void test('one process has a data directory; when it is killed, what it stored is there for the next', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'espalier-store-'));
  const program = `
    import { openStore } from ${JSON.stringify(join(import.meta.dirname, 'open-store.ts'))};
    const store = await openStore({ dataDir: ${JSON.stringify(dataDir)} });
    await store.script('create table kept (n int)');
    for (let n = 1; ; n += 1) {
      await store.query('insert into kept values ($1)', [n]);
      process.stdout.write(n + '\\n');
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    let text = '';
    while (!text.includes('\n20\n')) text += String(((await once(child.stdout, 'data')) as [Buffer])[0]);
    await assert.rejects(openStore({ dataDir }), isProblem('store.in-use'));
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    const acknowledged = text.trim().split('\n').length;
    const store = await openStore({ dataDir });
    const [row] = await store.query<{ count: number; last: number }>('select count(*), max(n) as last from kept');
    assert.ok(row !== undefined && row.count >= acknowledged && row.count === row.last);
    await store.close();
  } finally {
    child.kill('SIGKILL');
    await rm(dataDir, { recursive: true });
  }
});

void test('PGlite in a directory syncs each commit to the disk', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'espalier-store-'));
  const sync = mock.method(fs, 'fsyncSync');
  syncBuiltinESMExports();
  const store = await openStore({ dataDir });
  try {
    assert.deepEqual(await store.query('select current_setting($1) as fsync', ['fsync']), [{ fsync: 'on' }]);
    await store.script('create table kept (n int)');
    const before = sync.mock.callCount();
    for (let n = 0; n < 5; n += 1) await store.query('insert into kept values ($1)', [n]);
    assert.ok(sync.mock.callCount() >= before + 5);
  } finally {
    await store.close();
    sync.mock.restore();
    syncBuiltinESMExports();
    await rm(dataDir, { recursive: true });
  }
});
