// Tests of what rooms share over HTTP: pages, filters, versions, scopes, field errors.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { Problem } from '../lib/errors.ts';
import {
  accepted,
  answerAccepted,
  assertIfMatch,
  assertScope,
  dryRunQuery,
  etagOf,
  fromPageToken,
  json,
  jsonBody,
  makeRoutes,
  pageOf,
  pageQuery,
  parseFilter,
  renderFilterSql,
  toPage,
  whoOf,
} from './http.ts';

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof Problem) return thrown.code;
    throw thrown;
  }
  return 'no problem';
}

void test('a page has a token only when a further row was found, and the token gives its last key back', () => {
  const rows = ['älter', 'b', 'c'];
  const page = toPage(rows, 2, (row) => row);
  assert.deepEqual(page.items, ['älter', 'b']);
  assert.equal(fromPageToken(page.nextPageToken), 'b');
  assert.deepEqual(
    toPage(rows, 3, (row) => row),
    { items: rows },
  );
  assert.deepEqual(toPage([], 3, String), { items: [] });
  assert.equal(
    codeOf(() => fromPageToken('YmFk')),
    'http.bad-page-token',
  );
});

void test('a filter becomes SQL with placeholders, and a term that is none is refused', () => {
  const terms = parseFilter('app=wordpress state!=ready name="two words"', ['app', 'state', 'name']);
  assert.deepEqual(renderFilterSql(terms, { app: 's.app', state: 's.state', name: 's.name' }, 3), {
    text: ' AND s.app::text = $3 AND s.state::text IS DISTINCT FROM $4 AND s.name::text = $5',
    values: ['wordpress', 'ready', 'two words'],
  });
  assert.deepEqual(parseFilter(undefined, ['app']), []);
  for (const bad of ['app', 'owner=x', 'app="x', "app='x' OR", 'app=a"b']) {
    assert.equal(
      codeOf(() => parseFilter(bad, ['app'])),
      'http.bad-filter',
      bad,
    );
  }
});

void test('a higher scope includes the lower ones, and no scope allows nothing', () => {
  assert.equal(
    codeOf(() => assertScope({ by: 't', scopes: ['admin'] }, 'operate')),
    'no problem',
  );
  assert.equal(
    codeOf(() => assertScope({ by: 't', scopes: ['read'] }, 'operate')),
    'http.not-allowed',
  );
  assert.equal(
    codeOf(() => assertScope({ by: 't', scopes: [] }, 'read')),
    'http.not-allowed',
  );
});

void test('routes answer pages, 202 with Location, and refuse what does not fit the schema by pointer', async () => {
  const routes = makeRoutes();
  const item = z.object({ name: z.string() });
  routes.onError((error) => {
    if (!(error instanceof Problem)) throw error;
    return new Response(JSON.stringify(error.document), { status: error.document.status });
  });
  routes.use(async (c, next) => {
    c.set('who', { by: 'root', scopes: ['admin'], reason: 'a test' });
    await next();
  });
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/things',
      request: { query: pageQuery },
      responses: { 200: json(pageOf(item), 'x') },
    }),
    (c) => {
      const { pageSize } = c.req.valid('query');
      return c.json(
        toPage([{ name: 'a' }, { name: 'b' }], pageSize, (row) => row.name),
        200,
      );
    },
  );
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/things',
      request: { body: jsonBody(z.object({ hosts: z.array(z.string().max(3, 'too long')) })), query: dryRunQuery },
      responses: { 202: accepted, 200: json(z.object({ by: z.string(), reason: z.string().optional() }), 'plan') },
    }),
    (c) => {
      assertIfMatch(c, 7);
      if (c.req.valid('query').dryRun) return c.json(whoOf(c), 200);
      return answerAccepted(c, { id: 'op1', kind: 'thing.create', title: 'Create a thing' });
    },
  );
  const post = (body: unknown, query = '', headers = {}) =>
    routes.request(`/v1/things${query}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    });

  const listed = await routes.request('/v1/things?pageSize=1');
  assert.deepEqual(await listed.json(), { items: [{ name: 'a' }], nextPageToken: 'MTph' });
  const made = await post({ hosts: ['abc'] }, '', { 'if-match': etagOf(7) });
  assert.equal(made.status, 202);
  assert.equal(made.headers.get('location'), '/v1/operations/op1');
  assert.deepEqual(await (await post({ hosts: [] }, '?dryRun=true')).json(), { by: 'root', reason: 'a test' });
  assert.equal((await post({ hosts: [] }, '', { 'if-match': '"6"' })).status, 412);
  const refused = (await (await post({ hosts: ['abc', 'abcd'] })).json()) as { about: unknown };
  assert.deepEqual(refused.about, { errors: [{ in: 'body', pointer: '/hosts/1', detail: 'too long' }] });
  assert.equal((await routes.request('/v1/things?pageSize=0')).status, 400);
});
