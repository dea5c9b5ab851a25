// Tokens through the API on a real store: made once, good for their scope, never stored in the open, revoked at once.
import assert from 'node:assert/strict';
import { makeSystemClock } from '../lib/clock.ts';
import { makeSilentLogger } from '../lib/log.ts';
import { makeEvents } from '../platform/events.ts';
import { makeRoutes } from '../platform/http.ts';
import { makeIdempotency } from '../platform/idempotency-middleware.ts';
import { makeLoops } from '../platform/loops.ts';
import { makeOperations } from '../platform/operations/operations.ts';
import type { Store } from '../platform/store.ts';
import { readPlatformMigrations, withStores } from '../platform/test-store.ts';
import { verifyToken } from '../platform/tokens.ts';
import { makeApi } from './api.ts';
import { makeTokenRoutes } from './token-routes.ts';

/** As the routes by which servers and controllers are let in: the path, and a token in the answer. */
function makeOtherTokens() {
  const routes = makeRoutes();
  routes.post('/v1/join-tokens', (c) => c.json({ token: `join-${crypto.randomUUID()}` }, 201));
  return routes;
}

function makeTestApi(store: Store) {
  const clock = makeSystemClock();
  const log = makeSilentLogger();
  const events = makeEvents({ store, clock });
  const api = makeApi({
    about: { version: '1', deployment: 'demo', simulated: true, store: store.engine, startedAt: 'now' },
    rooms: [makeTokenRoutes({ store }), makeOtherTokens()],
    events,
    operations: makeOperations({ store, events, clock, log }),
    loops: makeLoops({ clock, log }),
    checks: [],
    subjectOf: (noun, name) => Promise.resolve(`${noun}:${name}`),
    async authenticate(plaintext) {
      const token = await verifyToken(store, plaintext);
      return token === undefined ? undefined : { by: `token:${token.name}`, scopes: token.scopes };
    },
    idempotency: makeIdempotency(store),
    closing: new AbortController().signal,
    clock,
    log,
  });
  return async (method: string, path: string, body?: object, token?: string) => {
    const headers = { 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() };
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const init = { method, headers: { ...headers, ...authorization }, ...(body && { body: JSON.stringify(body) }) };
    const response = await api.request(path, init, { transport: token === undefined ? 'local' : 'remote' });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
}

withStores((test) => {
  test('a token is shown once, works for its scope from elsewhere, and no more once it is revoked', async ({
    store,
  }) => {
    const ask = makeTestApi(store);
    const made = await ask('POST', '/v1/tokens', { name: 'ci', scopes: ['read'] });
    assert.equal(made.status, 201);
    const token = String(made.body.token);
    assert.equal((await ask('GET', '/v1/about', undefined, token)).status, 200);
    assert.equal((await ask('GET', '/v1/tokens', undefined, token)).status, 403);
    const listed = await ask('GET', '/v1/tokens');
    assert.ok(!JSON.stringify(listed.body).includes(token));
    assert.equal((await ask('DELETE', `/v1/tokens/${made.body.id}`)).status, 200);
    assert.equal((await ask('GET', '/v1/about', undefined, token)).status, 401);
    assert.equal((await ask('DELETE', '/v1/tokens/nobody')).status, 404);
  });

  test('the answer with the token is kept nowhere, not even for its Idempotency-Key', async ({ store }) => {
    const ask = makeTestApi(store);
    const made = [
      await ask('POST', '/v1/tokens', { name: 'ci', scopes: ['admin'] }),
      await ask('POST', '/v1/join-tokens', {}),
    ];
    const tables = await store.query<{ name: string }>(
      `select quote_ident(tablename) as name from pg_tables where schemaname = 'public'`,
    );
    for (const { name } of tables) {
      const rows = await store.query<{ row: string }>(`select to_jsonb(t)::text as row from ${name} t`);
      for (const { body } of made) assert.ok(!rows.some(({ row }) => row.includes(String(body.token))), name);
    }
  });
}, readPlatformMigrations);
