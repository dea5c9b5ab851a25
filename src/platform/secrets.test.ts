// Secrets: readable through their key only, under their own name only, and after a rotation as before.
import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { Problem } from '../lib/errors.ts';
import { openSecrets } from './secrets.ts';
import { readPlatformMigrations, withStores } from './test-store.ts';

const isProblem = (code: string) => (error: unknown) => error instanceof Problem && error.code === code;
let dir = '';
let files = 0;
const newKeyFile = () => join(dir, `key-${++files}`, 'secrets.key');

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'espalier-secrets-'));
});
after(() => rm(dir, { recursive: true }));

withStores((test) => {
  test('a secret is stored, replaced, read by name and by prefix, and removed', async ({ store }) => {
    const keyFile = newKeyFile();
    const secrets = await openSecrets({ store, keyFile });
    await secrets.put(store, 'site/a/password', 'first');
    await secrets.put(store, 'site/a/password', 'sècret');
    await secrets.put(store, 'site/a/key', '');
    await secrets.put(store, 'site/ab/key', 'other');
    assert.equal(await secrets.read(store, 'site/a/password'), 'sècret');
    assert.deepEqual(await secrets.readAll(store, 'site/a/'), { 'site/a/password': 'sècret', 'site/a/key': '' });
    await secrets.removeAll(store, 'site/a/');
    await secrets.remove(store, 'site/a/password');
    await assert.rejects(secrets.read(store, 'site/a/password'), isProblem('common.not-found'));
    assert.equal(await secrets.read(store, 'site/ab/key'), 'other');
    const { mode } = await stat(keyFile);
    assert.equal(mode & 0o777, 0o600);
    const again = await openSecrets({ store, keyFile });
    assert.equal(await again.read(store, 'site/ab/key'), 'other');
  });

  test('neither the text nor its equal twin shows in the database', async ({ store }) => {
    const secrets = await openSecrets({ store, keyFile: newKeyFile() });
    await secrets.put(store, 'a', 'open sesame');
    await secrets.put(store, 'b', 'open sesame');
    const rows = await store.query<{ ciphertext: Uint8Array; nonce: Uint8Array }>(
      'select ciphertext, nonce from secret',
    );
    const [one, two] = rows.map(({ ciphertext }) => Buffer.from(ciphertext));
    assert.ok(one && two && !one.includes('sesame') && !one.equals(two));
  });

  test('a secret copied under another name, or changed, is refused', async ({ store }) => {
    const secrets = await openSecrets({ store, keyFile: newKeyFile() });
    await secrets.put(store, 'mine', 'value');
    await store.query(`insert into secret select 'theirs', key_id, nonce, ciphertext from secret`);
    await assert.rejects(secrets.read(store, 'theirs'), isProblem('secrets.not-genuine'));
    await store.query(`update secret set ciphertext = '\\x00' || substr(ciphertext, 2) where name = 'mine'`);
    await assert.rejects(secrets.read(store, 'mine'), isProblem('secrets.not-genuine'));
  });

  test('after a rotation all can be read, the old key is gone, and another controller finds the new one', async ({
    store,
  }) => {
    const keyFile = newKeyFile();
    const [secrets, other] = [await openSecrets({ store, keyFile }), await openSecrets({ store, keyFile })];
    for (let n = 0; n < 450; n += 1) await secrets.put(store, `s${n}`, `value ${n}`);
    const old = JSON.parse(await readFile(keyFile, 'utf8')) as { current: string };
    assert.equal(await secrets.rotate(store), 450);
    const kept = JSON.parse(await readFile(keyFile, 'utf8')) as { current: string; keys: object };
    assert.deepEqual(Object.keys(kept.keys), [kept.current]);
    assert.notEqual(kept.current, old.current);
    assert.equal(await secrets.read(store, 's449'), 'value 449');
    assert.equal(await other.read(store, 's0'), 'value 0');
  });

  test('a key file that is missing, open to others or broken is refused and left alone', async ({ store }) => {
    const keyFile = newKeyFile();
    const secrets = await openSecrets({ store, keyFile });
    await secrets.put(store, 'a', 'value');
    await assert.rejects(openSecrets({ store, keyFile: newKeyFile() }), isProblem('secrets.key-missing'));
    await chmod(keyFile, 0o640);
    await assert.rejects(openSecrets({ store, keyFile }), isProblem('secrets.key-file-open'));
    await chmod(keyFile, 0o600);
    await writeFile(keyFile, '{}');
    await assert.rejects(openSecrets({ store, keyFile }), isProblem('secrets.key-file-broken'));
    assert.equal(await readFile(keyFile, 'utf8'), '{}');
  });
}, readPlatformMigrations);
