// Tests of the HTTP application through its own front door: who may, what is refused and how, streams, bounds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { type Clock, makeSystemClock } from '../lib/clock.ts';
import { commonProblems } from '../lib/errors.ts';
import { makeSilentLogger } from '../lib/log.ts';
import type { Event, Events } from '../platform/events.ts';
import { type ApiRoutes, dryRunQuery, json, jsonBody, makeRoutes, type Who, whoOf } from '../platform/http.ts';
import type { Operation, Operations, OperationView } from '../platform/operations/operation.ts';
import { type ApiParts, makeApi, type Transport } from './api.ts';

const clock: Clock = makeSystemClock();

function makeThingRoutes(): ApiRoutes {
  const routes = makeRoutes();
  routes.openapi(
    createRoute({
      method: 'post',
      path: '/v1/things',
      request: { body: jsonBody(z.object({ name: z.string().min(2) })) },
      responses: { 200: json(z.object({ by: z.string(), reason: z.string().optional() }), 'Who asked') },
    }),
    (c) => c.json(whoOf(c), 200),
  );
  for (const [path, work] of [
    ['/v1/broken', () => Promise.reject(new Error('the password is hunter2'))],
    ['/v1/absent', () => Promise.reject(commonProblems.make('not-found', { noun: 'thing', name: 'x' }))],
    ['/v1/slow', () => new Promise<never>(() => {})],
  ] as const) {
    routes.openapi(createRoute({ method: 'get', path, responses: { 200: json(z.null(), 'never') } }), work);
  }
  return routes;
}

const operation: Operation = {
  id: 'op1',
  kind: 'thing.make',
  title: 'Make a thing',
  state: 'running',
  params: {},
  locks: ['thing:x'],
  by: 'root',
  reason: null,
  waiting: {
    step: 'boot',
    since: '2026-11-21T00:00:00Z',
    problem: commonProblems.make('timed-out', { what: 'The boot', seconds: 3 }).document,
  },
  problem: null,
  cancelledBy: null,
  createdAt: '2026-11-21T00:00:00Z',
  startedAt: null,
  endedAt: null,
  durationMs: null,
};

function makeOperationsOf(known: Operation[], asked: unknown[] = []): Operations {
  const unused = () => Promise.reject(new Error('not part of this test'));
  const read = (id: string): Promise<OperationView> => {
    const found = known.find((one) => one.id === id);
    if (found === undefined) return Promise.reject(commonProblems.make('not-found', { noun: 'operation', name: id }));
    return Promise.resolve({ ...found, steps: [] });
  };
  return {
    register: () => undefined,
    start: unused,
    wake: () => undefined,
    read,
    list: (filter) => {
      asked.push(filter);
      return Promise.resolve({ items: known, nextPageToken: null });
    },
    wait: read,
    cancel: (id, by) => {
      asked.push(['cancel', id, by]);
      return Promise.resolve();
    },
    resume: unused,
    release: unused,
  };
}

function eventOf(id: string, reason: string | null = null): Event {
  return { id, at: '2026-11-21T00:00:00Z', kind: 'thing.made', subject: 'thing:x', by: 'root', reason, data: null };
}

function makeEventsOf(known: Event[]): Events {
  return {
    append: () => Promise.resolve(),
    list: () => Promise.resolve({ items: known, nextPageToken: null }),
    trim: () => Promise.resolve(0),
    readLastId: () => Promise.resolve('0'),
    async *watch({ after }) {
      if (after === 'gone') throw commonProblems.make('not-found', { noun: 'event', name: 'gone' });
      yield* known.slice(known.findIndex((event) => event.id === after) + 1);
    },
  };
}

function makeTestApi(changes: Partial<ApiParts> = {}) {
  const tokens: Record<string, Who> = { reader: { by: 'token:reader', scopes: ['read'] } };
  const api = makeApi({
    about: { version: '1.2.3', deployment: 'demo', simulated: true, store: 'pglite', startedAt: 'now' },
    rooms: [makeThingRoutes()],
    operations: makeOperationsOf([operation]),
    events: makeEventsOf([]),
    loops: {
      add: () => undefined,
      wake: () => undefined,
      statuses: () => [],
      ran: () => Promise.reject(new Error('not part of this test')),
      start: () => undefined,
      stop: () => Promise.resolve(),
    },
    checks: [],
    subjectOf: (noun, name) => Promise.resolve(`${noun}:${name}`),
    authenticate: (token) => Promise.resolve(tokens[token]),
    closing: new AbortController().signal,
    clock,
    log: makeSilentLogger(),
    ...changes,
  });
  return (path: string, init: RequestInit = {}, transport: Transport = 'local') =>
    api.request(path, init, { transport });
}

const post = (body: unknown, headers: Record<string, string> = {}): RequestInit => ({
  method: 'POST',
  body: typeof body === 'string' ? body : JSON.stringify(body),
  headers: { 'content-type': 'application/json', ...headers },
});

async function problemOf(response: Response | Promise<Response>) {
  const answered = await response;
  assert.equal(answered.headers.get('content-type'), 'application/problem+json');
  const body = (await answered.json()) as { code: string; instance: string; detail: string; errors?: unknown };
  assert.match(body.instance, /^[0-9a-f-]{36}$/);
  return { status: answered.status, ...body };
}

void test('the Unix socket is root; the TLS port needs a token with the scope', async () => {
  const request = makeTestApi();
  const local = await request('/v1/things', post({ name: 'ab' }, { 'espalier-reason': 'r%C3%A9sum%C3%A9' }));
  assert.deepEqual(await local.json(), { by: 'root', reason: 'résumé' });
  assert.equal((await request('/v1/about', {}, 'remote')).status, 401);
  assert.equal((await request('/v1/about', { headers: { authorization: 'Bearer wrong' } }, 'remote')).status, 401);
  const reader = { authorization: 'Bearer reader' };
  assert.equal((await request('/v1/about', { headers: reader }, 'remote')).status, 200);
  const refused = await problemOf(request('/v1/things', post({ name: 'ab' }, reader), 'remote'));
  assert.deepEqual([refused.status, refused.code], [403, 'http.not-allowed']);
});

void test('bad input is a problem that names the field, and a body that is no JSON is told so', async () => {
  const request = makeTestApi();
  const bad = await problemOf(request('/v1/things', post({ name: 'a' })));
  assert.equal(bad.code, 'http.invalid-request');
  assert.deepEqual(bad.errors, [
    { in: 'body', pointer: '/name', detail: 'Too small: expected string to have >=2 characters' },
  ]);
  assert.equal((await problemOf(request('/v1/things', post('{')))).code, 'http.malformed-body');
  const large = await problemOf(request('/v1/things', post({ name: 'ab' }, { 'content-length': '1048577' })));
  assert.deepEqual([large.status, large.code], [413, 'http.body-too-large']);
  const chunked = await problemOf(request('/v1/things', post({ name: 'ab' }, { 'transfer-encoding': 'chunked' })));
  assert.deepEqual([chunked.status, chunked.code], [411, 'http.length-required']);
  assert.equal((await problemOf(request('/v1/nothing'))).code, 'http.no-such-route');
});

void test('an unexpected error tells the client nothing of its text, and a problem is told as it is', async () => {
  const request = makeTestApi();
  const broken = await problemOf(request('/v1/broken'));
  assert.deepEqual([broken.status, broken.code], [500, 'common.internal']);
  assert.ok(!JSON.stringify(broken).includes('hunter2'));
  assert.equal((await problemOf(request('/v1/absent'))).status, 404);
});

void test('an answer that takes too long ends as a retryable problem', async () => {
  const request = makeTestApi({ answerTimeoutMs: 5 });
  const slow = await problemOf(request('/v1/slow'));
  assert.deepEqual([slow.status, slow.code], [504, 'http.too-slow']);
});

void test('a dry run of a route that has none is refused, and of one that has it is let through', async () => {
  const routes = makeRoutes();
  routes.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/things/{name}',
      request: { params: z.object({ name: z.string() }), query: dryRunQuery },
      responses: { 200: json(z.boolean(), 'Whether it is one') },
    }),
    (c) => c.json(c.req.valid('query').dryRun, 200),
  );
  const request = makeTestApi({ rooms: [makeThingRoutes(), routes] });
  assert.equal((await problemOf(request('/v1/things?dryRun=true', post({ name: 'ab' })))).code, 'http.no-dry-run');
  assert.equal(await (await request('/v1/things/x?dryRun=true', { method: 'DELETE' })).json(), true);
});

void test('operations are listed by a filter, shown with the operations they started, and cancelled by name', async () => {
  const asked: unknown[] = [];
  const child: Operation = { ...operation, id: 'op2', by: 'operation:op1' };
  const request = makeTestApi({ operations: makeOperationsOf([child, operation], asked) });
  const listed = await request('/v1/operations?filter=state=running%20state=fatal%20lock=thing:x&pageSize=7');
  assert.equal(((await listed.json()) as { items: unknown[] }).items.length, 2);
  assert.deepEqual(asked, [{ limit: 7, states: ['running', 'fatal'], lock: 'thing:x' }]);
  assert.equal((await problemOf(request('/v1/operations?filter=state=odd'))).code, 'http.bad-filter');
  const shown = (await (await request('/v1/operations/op1')).json()) as { children: { id: string }[] };
  assert.deepEqual(
    shown.children.map(({ id }) => id),
    ['op2'],
  );
  assert.equal((await request('/v1/operations/op1/cancel', { method: 'POST' })).status, 200);
  assert.deepEqual(asked[2], ['cancel', 'op1', 'root']);
});

void test('the event stream resumes after Last-Event-ID and tells a problem in the stream', async () => {
  const request = makeTestApi({ events: makeEventsOf([eventOf('1'), eventOf('2')]) });
  const stream = (after: string) =>
    request('/v1/events', { headers: { accept: 'text/event-stream', 'last-event-id': after } });
  assert.equal(
    await (await stream('1')).text(),
    `: from here on\n\nevent: thing.made\ndata: ${JSON.stringify(eventOf('2'))}\nid: 2\n\n`,
  );
  assert.match(await (await stream('gone')).text(), /^: from here on\n\nevent: problem\ndata: .*common\.not-found/);
});

void test('why tells what is done now, what it waits for, and the reasons of the journal', async () => {
  const request = makeTestApi({ events: makeEventsOf([eventOf('2', 'it was lost'), eventOf('1')]) });
  assert.deepEqual(await (await request('/v1/why/thing/x')).json(), {
    subject: 'thing:x',
    now: [
      { operation: 'op1', title: 'Make a thing', state: 'running', waitingFor: 'The boot did not end within 3 s.' },
    ],
    reasons: [{ at: '2026-11-21T00:00:00Z', kind: 'thing.made', by: 'root', reason: 'it was lost' }],
  });
});

void test('why tells the reasons that people gave to operations among those of the journal, newest first', async () => {
  const at = (second: number) => `2026-11-21T00:00:0${second}Z`;
  const operationOf = (second: number, reason: string | null) => ({ ...operation, createdAt: at(second), reason });
  const asked: unknown[] = [];
  const request = makeTestApi({
    operations: makeOperationsOf([operationOf(3, 'more room'), operationOf(2, null), operationOf(1, 'first')], asked),
    events: makeEventsOf([{ ...eventOf('2', 'it was lost'), at: at(2) }]),
  });
  const { reasons } = (await (await request('/v1/why/thing/x')).json()) as { reasons: unknown };
  assert.deepEqual(reasons, [
    { at: at(3), kind: 'thing.make', by: 'root', reason: 'more room' },
    { at: at(2), kind: 'thing.made', by: 'root', reason: 'it was lost' },
    { at: at(1), kind: 'thing.make', by: 'root', reason: 'first' },
  ]);
  assert.deepEqual(asked[0], { lock: 'thing:x', limit: 20 });
});

void test('a check that throws is a finding, not a failed doctor', async () => {
  const request = makeTestApi({
    checks: [
      { name: 'disk', run: () => Promise.resolve({ status: 'ok', detail: '10 GiB free.' }) },
      { name: 'engine', run: () => Promise.reject(commonProblems.make('not-found', { noun: 'server', name: 'a' })) },
    ],
  });
  const { checks } = (await (await request('/v1/doctor')).json()) as { checks: { name: string; status: string }[] };
  assert.deepEqual(
    checks.map(({ name, status }) => [name, status]),
    [
      ['disk', 'ok'],
      ['engine', 'fail'],
    ],
  );
});

void test('the OpenAPI document has every route with the problem answer, and POST with Idempotency-Key', async () => {
  const document = (await (await makeTestApi()('/v1/openapi.json')).json()) as {
    paths: Record<string, Record<string, { responses: Record<string, unknown>; parameters?: { name: string }[] }>>;
  };
  assert.ok(document.paths['/v1/operations/{id}']?.get?.responses.default);
  assert.deepEqual(
    document.paths['/v1/things']?.post?.parameters?.map(({ name }) => name),
    ['Idempotency-Key'],
  );
});
