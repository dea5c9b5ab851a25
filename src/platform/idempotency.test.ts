// Remembered requests: done once, answered the same again, and never stuck.
import assert from 'node:assert/strict';
import { Hono } from 'hono';
import { Problem } from '../lib/errors.ts';
import type { ApiEnv } from './http.ts';
import {
  claimIdempotent,
  forgetIdempotent,
  hashRequest,
  type IdempotentRequest,
  rememberIdempotent,
  trimIdempotent,
} from './idempotency.ts';
import { makeIdempotency } from './idempotency-middleware.ts';
import { readPlatformMigrations, withStores } from './test-store.ts';

const isProblem = (code: string) => (error: unknown) => error instanceof Problem && error.code === code;
const request: IdempotentRequest = { key: 'k', route: 'POST /v1/sites', who: 'root', requestHash: hashRequest('{}') };
const response = { status: 202, headers: { location: '/v1/operations/o1' }, body: { id: 'o1' } };

withStores((test) => {
  test('a request is claimed once, under way until its answer is stored, then answered', async ({ store }) => {
    assert.equal(await claimIdempotent(store, request), null);
    await assert.rejects(claimIdempotent(store, request), isProblem('idempotency.under-way'));
    await rememberIdempotent(store, request, response);
    assert.deepEqual(await claimIdempotent(store, request), response);
    await assert.rejects(
      claimIdempotent(store, { ...request, requestHash: hashRequest('[]') }),
      isProblem('idempotency.reused'),
    );
    assert.equal(await claimIdempotent(store, { ...request, who: 'ann' }), null);
    assert.equal(await claimIdempotent(store, { ...request, route: 'POST /v1/pools' }), null);
  });

  test('of many at once, one is done', async ({ store }) => {
    const claims = await Promise.allSettled(Array.from({ length: 5 }, () => claimIdempotent(store, request)));
    assert.equal(claims.filter(({ status }) => status === 'fulfilled').length, 1);
  });

  test('a request that failed, or was cut off a minute ago, may be done again; old answers go', async ({ store }) => {
    await claimIdempotent(store, request);
    await forgetIdempotent(store, request);
    assert.equal(await claimIdempotent(store, request), null);
    await store.query(`update remembered_request set created_at = created_at - interval '61 seconds'`);
    assert.equal(await claimIdempotent(store, request), null);
    await assert.rejects(claimIdempotent(store, request), isProblem('idempotency.under-way'));
    await rememberIdempotent(store, request, response);
    await forgetIdempotent(store, request);
    assert.deepEqual(await claimIdempotent(store, request), response);
    await store.query(`update remembered_request set created_at = created_at - interval '2 days'`);
    assert.equal(await trimIdempotent(store, 86_400_000), 1);
    assert.equal(await claimIdempotent(store, request), null);
  });

  test('over HTTP a repeated POST gets the first answer, a failed one is tried again, and reading is not touched', async ({
    store,
  }) => {
    let [made, failures] = [0, 1];
    const app = new Hono<ApiEnv>();
    app.onError((error, c) => c.json({ code: error instanceof Problem ? error.code : String(error) }, 409));
    app.use(async (c, next) => {
      c.set('who', { by: 'root', scopes: ['admin'] });
      await next();
    });
    app.use('/v1/*', makeIdempotency(store));
    app.post('/v1/things', async (c) => {
      const body: unknown = await c.req.json();
      if (failures-- > 0) throw new Error('not yet');
      made += 1;
      c.header('Location', `/v1/things/${made}`);
      return c.json({ made, body }, 202);
    });
    app.get('/v1/things', (c) => c.json({ made }));
    const post = (body: string, key = 'k1') =>
      app.request('/v1/things', { method: 'POST', body, headers: { 'Idempotency-Key': key } });
    assert.equal((await post('{"a":1}')).status, 409);
    const [first, again] = [await post('{"a":1}'), await post('{"a":1}')];
    assert.deepEqual([first.status, again.status, again.headers.get('location')], [202, 202, '/v1/things/1']);
    assert.equal(again.headers.get('idempotency-replayed'), 'true');
    assert.deepEqual(await again.json(), { made: 1, body: { a: 1 } });
    assert.deepEqual(await first.json(), { made: 1, body: { a: 1 } });
    assert.deepEqual(await (await post('{"a":2}')).json(), { code: 'idempotency.reused' });
    assert.equal((await post('{"a":1}', 'k2')).headers.get('location'), '/v1/things/2');
    const read = await app.request('/v1/things', { headers: { 'Idempotency-Key': 'k1' } });
    assert.deepEqual(await read.json(), { made: 2 });
  });
}, readPlatformMigrations);
