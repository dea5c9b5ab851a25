// Tokens: shown once, accepted until they end, and never stored.
import assert from 'node:assert/strict';
import { Problem } from '../lib/errors.ts';
import { readPlatformMigrations, withStores } from './test-store.ts';
import { listTokens, makeToken, type NewToken, revokeToken, verifyToken } from './tokens.ts';

const HOUR_MS = 3_600_000;
const isProblem = (code: string) => (error: unknown) => error instanceof Problem && error.code === code;
const newToken: NewToken = { name: 'ci', scopes: ['operate'], expiresInMs: HOUR_MS, by: 'root' };

withStores((test) => {
  test('a token is accepted as it was given, and a changed one is not', async ({ store }) => {
    const { plaintext, ...token } = await makeToken(store, newToken);
    assert.match(plaintext, /^esp_[\w-]{43}$/);
    const known = await verifyToken(store, plaintext);
    assert.deepEqual({ ...known, lastUsedAt: null }, token);
    assert.deepEqual([token.name, token.scopes, token.by], ['ci', ['operate'], 'root']);
    assert.equal(Date.parse(token.expiresAt) - Date.parse(token.createdAt), HOUR_MS);
    assert.equal(await verifyToken(store, `${plaintext}x`), undefined);
    assert.equal(await verifyToken(store, token.id), undefined);
    const stored = JSON.stringify(await store.query('select * from token'));
    assert.ok(!stored.includes(plaintext) && !stored.includes(plaintext.slice(4)));
  });

  test('its last use is kept, to the minute', async ({ store }) => {
    const { plaintext } = await makeToken(store, newToken);
    await verifyToken(store, plaintext);
    const [{ lastUsedAt } = assert.fail()] = await listTokens(store);
    assert.ok(lastUsedAt);
    await verifyToken(store, plaintext);
    assert.equal((await listTokens(store))[0]?.lastUsedAt, lastUsedAt);
  });

  test('an expired and a revoked token are refused and still listed', async ({ store }) => {
    const [expired, revoked] = [await makeToken(store, newToken), await makeToken(store, newToken)];
    await store.query(`update token set expires_at = now() - interval '1 second' where id = $1`, [expired.id]);
    const once = await revokeToken(store, revoked.id, 'ann');
    assert.equal(once.revokedBy, 'ann');
    assert.deepEqual(await revokeToken(store, revoked.id, 'bob'), once);
    assert.equal(await verifyToken(store, expired.plaintext), undefined);
    assert.equal(await verifyToken(store, revoked.plaintext), undefined);
    assert.equal((await listTokens(store)).length, 2);
    await assert.rejects(revokeToken(store, 'tnone', 'ann'), isProblem('common.not-found'));
  });

  test('a token without scopes or without an end is not made', async ({ store }) => {
    await assert.rejects(makeToken(store, { ...newToken, scopes: [] }), isProblem('common.invalid-input'));
    await assert.rejects(makeToken(store, { ...newToken, expiresInMs: 0 }), isProblem('common.invalid-input'));
    await assert.rejects(
      makeToken(store, { ...newToken, expiresInMs: Number.POSITIVE_INFINITY }),
      isProblem('common.invalid-input'),
    );
  });
}, readPlatformMigrations);
