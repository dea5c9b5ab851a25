// The command line against a real API server on a Unix socket: exact output, exit codes, live operations.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { makeApi } from '../api/api.ts';
import { serveApi } from '../api/server.ts';
import { type Clock, makeSystemClock } from '../lib/clock.ts';
import { commonProblems } from '../lib/errors.ts';
import { makeSilentLogger } from '../lib/log.ts';
import type { Event } from '../platform/events.ts';
import {
  type ApiRoutes,
  accepted,
  answerAccepted,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  pageOf,
  pageQuery,
  toPage,
} from '../platform/http.ts';
import type { OperationView } from '../platform/operations/operation.ts';
import { renderWhy } from './commands/why.ts';
import { judgeBuild } from './doctor.ts';
import { runMain } from './main.ts';
import { makeMemoryTerminal } from './terminal.ts';

const T0 = Date.parse('2026-11-21T10:00:00Z');
const system = makeSystemClock();
/** Wall time stands still, so that ages and durations are exact; everything else goes a hundred times faster. */
const clock: Clock = {
  nowMs: () => T0,
  monotonicMs: () => system.monotonicMs() * 100,
  wait: (durationMs, signal) => system.wait(durationMs / 100, signal),
};
const iso = (afterMs: number): string => new Date(T0 + afterMs).toISOString();

function operationOf(changes: Partial<OperationView> = {}): OperationView {
  return {
    ...{
      id: 'op1',
      kind: 'site.create',
      title: 'Create the site acme',
      state: 'running',
      params: {},
      locks: [],
      by: 'root',
    },
    ...{ reason: null, waiting: null, problem: null, cancelledBy: null, createdAt: iso(-5000), startedAt: iso(-4000) },
    ...{ endedAt: null, durationMs: null, steps: [] },
    ...changes,
  };
}

function stepOf(name: string, state: OperationView['steps'][number]['state'], lines: string[] = []) {
  const endedAt = state === 'done' || state === 'failed' ? iso(-1000) : null;
  const startedAt = state === 'pending' ? null : iso(-3000);
  return {
    name,
    state,
    attempts: 1,
    undoAttempts: 0,
    output: null,
    lines,
    problem: null,
    startedAt,
    endedAt,
    durationMs: null,
  };
}

/** A controller with sites and one operation that moves on to its next view each time it has been looked at. */
async function startController(t: TestContext, views: OperationView[] = []) {
  const dir = await mkdtemp(join(tmpdir(), 'espalier-cli-'));
  const closing = new AbortController();
  const asked: unknown[] = [];
  const events: Event[] = [];
  const log = makeSilentLogger();
  const unused = () => Promise.reject(new Error('not part of this test'));
  const read = (id: string): Promise<OperationView> => {
    const view = views.length > 1 ? views.shift() : views[0];
    if (view?.id !== id) return Promise.reject(commonProblems.make('not-found', { noun: 'operation', name: id }));
    return Promise.resolve(view);
  };
  const api = makeApi({
    about: { version: '0.1.0', deployment: 'espalier', simulated: true, store: 'pglite', startedAt: iso(0) },
    rooms: [makeSites(asked)],
    operations: {
      ...{ register: () => undefined, start: unused, wake: () => undefined, read, wait: read },
      list: () => Promise.resolve({ items: [], nextPageToken: null }),
      cancel: (id) => Promise.resolve(void asked.push(`cancel ${id}`)),
      ...{ resume: unused, release: unused },
    },
    events: {
      append: () => Promise.resolve(),
      list: () => Promise.resolve({ items: events, nextPageToken: null }),
      trim: () => Promise.resolve(0),
      readLastId: () => Promise.resolve('0'),
      async *watch({ signal }) {
        yield* events;
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    },
    loops: {
      ...{ add: () => undefined, wake: () => undefined, statuses: () => [], ran: unused },
      ...{ start: () => undefined, stop: () => Promise.resolve() },
    },
    checks: [
      { name: 'orphans', run: () => Promise.resolve({ status: 'warn', detail: '2 orphans.', todo: 'Remove them.' }) },
    ],
    subjectOf: (noun, name) => Promise.resolve(`${noun}:${name}`),
    authenticate: () => Promise.resolve(undefined),
    closing: closing.signal,
    clock,
    log,
  });
  const tls = { host: '127.0.0.1', port: 0, dir: join(dir, 'tls'), names: ['127.0.0.1'] };
  const options = { socketPath: join(dir, 'controller.sock'), tls };
  const server = await serveApi({ api, acceptAgent: (socket) => socket.terminate(), options, log });
  t.after(async () => {
    closing.abort();
    await server.close();
    await rm(dir, { recursive: true, force: true });
  });
  return { dir, asked, events, port: server.tlsPort };
}

const SITES = ['acme', 'bolt', 'cork'].map((name) => ({
  ...{ name, state: 'ready', app: 'wordpress', pool: 'main', hosts: [`${name}.test`, `www.${name}.test`] },
  ...{ createdAt: iso(-7_200_000), url: `http://${name}.test` },
}));

function makeSites(asked: unknown[]): ApiRoutes {
  const routes = makeRoutes();
  const site = z.looseObject({ name: z.string() });
  const params = z.object({ name: z.string() });
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/sites',
      request: { query: pageQuery },
      responses: { 200: json(pageOf(site), 'x') },
    }),
    (c) => {
      const after = c.req.valid('query').pageToken === undefined ? 0 : 2;
      return c.json(
        toPage(SITES.slice(after), 2, ({ name }) => name),
        200,
      );
    },
  );
  routes.openapi(
    createRoute({ method: 'get', path: '/v1/sites/{name}', request: { params }, responses: { 200: json(site, 'x') } }),
    (c) => {
      const { name } = c.req.valid('param');
      const found = SITES.find((one) => one.name === name);
      if (found === undefined) throw commonProblems.make('not-found', { noun: 'site', name });
      return c.json(found, 200);
    },
  );
  routes.openapi(
    createRoute({ method: 'post', path: '/v1/sites', request: { body: jsonBody(site) }, responses: { 202: accepted } }),
    (c) => {
      asked.push(c.req.valid('json'), c.req.header('espalier-reason'));
      return answerAccepted(c, operationOf());
    },
  );
  routes.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/sites/{name}',
      request: { params, query: dryRunQuery },
      responses: { 202: accepted, 200: json(z.object({ purges: z.string() }), 'x') },
    }),
    (c) => {
      if (c.req.valid('query').dryRun) return c.json({ purges: 'acme' }, 200);
      asked.push('delete');
      return answerAccepted(c, operationOf({ title: 'Delete the site acme' }));
    },
  );
  return routes;
}

/** Runs one command line as a person would: exit code and both streams. */
async function run(
  dir: string,
  argv: string[],
  more: { answers?: string[]; signal?: AbortSignal; env?: Record<string, string> } = {},
) {
  const terminal = makeMemoryTerminal(more.answers === undefined ? {} : { answers: more.answers });
  const env = { HOME: dir, ESPALIER_DATA_DIR: dir, ...more.env };
  const signal = more.signal ?? new AbortController().signal;
  const code = await runMain(argv, { terminal, clock, env, uid: 1000, signal });
  return { code, out: terminal.stdout(), err: terminal.stderr() };
}

void test('a list is a table of all pages, and with --json one document', async (t) => {
  const { dir } = await startController(t);
  assert.deepEqual(await run(dir, ['site', 'list']), {
    code: 0,
    out: `NAME  STATE  APP        POOL  HOSTS                     AGE
acme  ready  wordpress  main  acme.test, www.acme.test  2h
bolt  ready  wordpress  main  bolt.test, www.bolt.test  2h
cork  ready  wordpress  main  cork.test, www.cork.test  2h
`,
    err: '',
  });
  const json = await run(dir, ['site', 'list', '--json', '--limit', '1']);
  assert.deepEqual(JSON.parse(json.out), { items: [SITES[0]] });
});

void test('show prints the document; what is not there is a problem on standard error and exit code 1', async (t) => {
  const { dir } = await startController(t);
  const shown = await run(dir, ['site', 'show', 'bolt']);
  assert.match(shown.out, /^name: bolt\nstate: ready\n/);
  assert.deepEqual(await run(dir, ['site', 'show', 'nobody']), {
    code: 1,
    out: '',
    err: `✗ There is no such thing
  There is no site named "nobody".
  List what there is with \`espalier site list\`.
  (common.not-found)
`,
  });
});

void test('a change is followed to its end, its steps on standard error, what was made on standard output', async (t) => {
  const steps = [stepOf('database', 'done'), stepOf('install', 'running', ['Installing WordPress'])];
  const done = [stepOf('database', 'done'), stepOf('install', 'done')];
  const { dir, asked } = await startController(t, [
    operationOf({ steps }),
    operationOf({
      steps,
      waiting: {
        step: 'install',
        since: iso(0),
        problem: commonProblems.make('timed-out', { what: 'MariaDB', seconds: 1 }).document,
      },
    }),
    operationOf({ state: 'succeeded', endedAt: iso(0), steps: done }),
  ]);
  const argv = [
    'site',
    'create',
    'acme',
    '--app',
    'wordpress',
    '--host',
    'a.test',
    '--host',
    'b.test',
    '--set',
    'lang=de',
    '--set',
    'big=true',
  ];
  assert.deepEqual(await run(dir, [...argv, '--reason', 'Müller wünscht']), {
    code: 0,
    out: 'NAME  APP        URL\nacme  wordpress  http://acme.test\n',
    err: `… Create the site acme
  ✓ database 2.0 s
  … install
  … install 3.0 s (MariaDB did not end within 1 s.)
  ✓ install 2.0 s
✓ Create the site acme 4.0 s
`,
  });
  assert.deepEqual(asked, [
    { name: 'acme', app: 'wordpress', hosts: ['a.test', 'b.test'], settings: { lang: 'de', big: true } },
    'M%C3%BCller%20w%C3%BCnscht',
  ]);
});

void test('a failed operation shows the hidden log of its step and what to do, and exits with 1', async (t) => {
  const { document } = commonProblems.make('timed-out', { what: 'The installer', seconds: 9 });
  const failed = { ...stepOf('install', 'failed', ['Downloading', 'No space left']), problem: document };
  const end = operationOf({ state: 'recovered', endedAt: iso(0), steps: [failed], problem: document });
  const { dir } = await startController(t, [end]);
  const { code, err } = await run(dir, ['operation', 'wait', 'op1']);
  assert.equal(code, 1);
  assert.ok(
    err.endsWith(`✗ Create the site acme failed; what it had done is undone
  Step "install" failed after 2.0 s:
    | Downloading
    | No space left
  The installer did not end within 9 s.
  Run \`espalier doctor\` to see which engine is slow or away, then try again.
  (common.timed-out, operation op1)
`),
    err,
  );
  const json = await run(dir, ['operation', 'wait', 'op1', '--json']);
  assert.equal(JSON.parse(json.out).operation.state, 'recovered');
});

void test('--no-wait prints the id alone; --timeout ends with 3 and Ctrl-C with 130, and the operation goes on', async (t) => {
  const { dir } = await startController(t, [operationOf()]);
  const create = ['site', 'create', 'acme', '--app', 'wordpress', '--host', 'a.test'];
  assert.deepEqual(await run(dir, [...create, '--no-wait']), { code: 0, out: 'op1\n', err: '' });
  const late = await run(dir, [...create, '--timeout', '1']);
  assert.equal(late.code, 3);
  assert.match(late.err, /was not finished within 1 s\.\n {2}The operation goes on; follow it/);
  const interrupt = new AbortController();
  setImmediate(() => interrupt.abort(new Error('interrupted')));
  const cut = await run(dir, ['operation', 'wait', 'op1'], { signal: interrupt.signal });
  assert.equal(cut.code, 130);
  assert.match(cut.err, /The operation goes on\. Follow it: espalier operation wait op1;/);
});

void test('destroying asks for the name: typed, or --confirm, never --yes; a dry run destroys nothing', async (t) => {
  const { dir, asked } = await startController(t, [operationOf({ state: 'succeeded', endedAt: iso(0) })]);
  const remove = ['site', 'delete', 'acme'];
  assert.equal((await run(dir, [...remove, '--yes'])).code, 2);
  assert.equal((await run(dir, remove, { answers: ['yes'] })).code, 2);
  assert.equal((await run(dir, [...remove, '--confirm', 'bolt'], { answers: ['acme'] })).code, 2);
  const dry = await run(dir, [...remove, '--dry-run']);
  assert.deepEqual(dry, { code: 0, out: 'purges: acme\n', err: 'Nothing was changed (--dry-run).\n' });
  assert.deepEqual(asked, []);
  assert.equal((await run(dir, remove, { answers: ['acme'] })).code, 0);
  assert.equal((await run(dir, [...remove, '--confirm=acme'])).code, 0);
  assert.deepEqual(asked, ['delete', 'delete']);
});

void test('plan in front of a command is its dry run, and nowhere else', async (t) => {
  const { dir, asked } = await startController(t);
  const planned = await run(dir, ['plan', 'site', 'delete', 'acme']);
  assert.deepEqual([planned.code, planned.out], [0, 'purges: acme\n']);
  assert.deepEqual(asked, []);
  assert.equal((await run(dir, ['--json', 'plan', 'site', 'delete', 'acme'])).code, 2);
  assert.equal((await run(dir, ['plan'])).code, 2);
});

void test('usage errors exit with 2 and say what is missing; help exits with 0', async (t) => {
  const { dir } = await startController(t);
  for (const argv of [
    ['site', 'create', 'acme', '--host', 'a.test'],
    ['site', 'paint'],
    ['pool', 'scale', 'main', 'many'],
    [],
  ]) {
    assert.equal((await run(dir, argv)).code, 2, argv.join(' '));
  }
  assert.equal((await run(dir, ['site', '--help'])).code, 0);
  assert.deepEqual(await run(dir, ['--version']), { code: 0, out: '0.1.0\n', err: '' });
});

void test('what acts on this machine is refused while a controller elsewhere is named, whoever names it', async (t) => {
  const { dir, asked } = await startController(t);
  const url = 'https://elsewhere.test';
  const file = join(dir, '.config/espalier/context.json');
  assert.equal((await run(dir, ['context', 'set', '--url', url])).code, 0);
  for (const [argv, env, from] of [
    [['--url', url], {}, '--url'],
    [[], { ESPALIER_URL: url }, 'ESPALIER_URL'],
    [[], {}, file],
  ] as const) {
    for (const verb of ['up', 'down', 'destroy']) {
      const { code, err } = await run(dir, [verb, '--confirm', 'espalier', ...argv], { env });
      assert.equal(code, 2);
      assert.ok(err.includes(`${from} names the controller at ${url}, but`), err);
      assert.ok(err.includes(`give no url by ${from}.`), err);
    }
  }
  assert.deepEqual(asked, []);
});

void test('a certificate that nobody vouches for is told as such, and a pinned one is trusted', async (t) => {
  const { dir, port } = await startController(t);
  const elsewhere = ['--url', `https://127.0.0.1:${port}`];
  const { code, err } = await run(dir, ['site', 'list', ...elsewhere]);
  assert.equal(code, 1);
  assert.match(err, /\(DEPTH_ZERO_SELF_SIGNED_CERT\)\.\n.*`espalier context set --ca FILE`/);
  await run(dir, ['context', 'set', '--ca', join(dir, 'tls/server.crt')]);
  // Past the certificate: what is asked for now is a token.
  assert.equal((await run(dir, ['site', 'list', ...elsewhere])).code, 4);
});

void test('events of single steps are listed only when asked for', async (t) => {
  const { dir, events } = await startController(t);
  for (const kind of ['operation.ended', 'operation.step', 'operation.said', 'operation.changed', 'operation.started'])
    events.push({ ...{ id: kind, at: iso(0), kind, subject: 'operation:op1' }, by: 'root', reason: null, data: null });
  const list = async (...more: string[]) => {
    const { out } = await run(dir, ['event', 'list', '--json', ...more]);
    return (JSON.parse(out) as { items: Event[] }).items.map(({ kind }) => kind.replace('operation.', '')).join(' ');
  };
  assert.equal(await list(), 'ended started');
  assert.equal(await list('--limit', '1'), 'ended');
  assert.equal(await list('--all'), 'ended step said changed started');
  assert.equal(await list('--kind', 'operation.*'), 'ended step said changed started');
});

void test('without a controller every command says where it looked and what to do', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'espalier-cli-'));
  t.after(() => rm(dir, { recursive: true }));
  const { code, out, err } = await run(dir, ['site', 'list', '--json']);
  assert.equal(code, 1);
  assert.equal(JSON.parse(out).problem.code, 'cli.not-reachable');
  assert.ok(err.includes(`The controller at ${join(dir, 'controller.sock')} does not answer (ENOENT).`));
});

void test('why prints the present and the reasons of the past', async (t) => {
  const { dir, events } = await startController(t);
  assert.equal((await run(dir, ['why', 'site', 'acme'])).out, 'Nothing was decided about the site acme yet.\n');
  const event = { kind: 'site.placed', subject: 'site:acme', by: 'controller', data: null };
  events.push({ ...event, id: '1', at: iso(-300_000), reason: 'pool main, the emptiest of 2' });
  assert.equal(
    (await run(dir, ['why', 'site', 'acme'])).out,
    '  5m ago site.placed: pool main, the emptiest of 2 (controller)\n',
  );
});

void test('why begins with what the thing itself knows: the reasons of its state and its place', () => {
  const thing = { state: 'ready', reason: 'it is served', placement: 'pool main, as asked' };
  const now = [{ operation: 'op1', title: 'Move acme', state: 'running', waitingFor: 'MariaDB is away.' }];
  assert.equal(
    renderWhy({ subject: 'site:x', now, reasons: [] }, thing, 'site', 'acme', T0),
    'state    ready: it is served\nplace    pool main, as asked\nnow      Move acme (op1) is running: MariaDB is away.\n',
  );
});

void test('why of a pool that resizes itself says what its last round of votes decided', () => {
  const thing = { state: 'ready', votes: 'blocked: 2 of 2 voters for growing, but calm time has 30 s left' };
  assert.equal(
    renderWhy({ subject: 'pool:main', now: [], reasons: [] }, thing, 'pool', 'main', T0),
    'votes    blocked: 2 of 2 voters for growing, but calm time has 30 s left\n',
  );
});

void test('events are watched as lines until Ctrl-C', async (t) => {
  const { dir, events } = await startController(t);
  events.push({
    id: '7',
    at: iso(0),
    kind: 'node.drained',
    subject: 'node:main-1',
    by: 'controller',
    reason: 'a roll',
    data: null,
  });
  const interrupt = new AbortController();
  const terminal = makeMemoryTerminal();
  const watching = runMain(['event', 'watch', '--kind', 'node.*'], {
    terminal: {
      ...terminal,
      out: (text) => {
        terminal.out(text);
        interrupt.abort(new Error('interrupted'));
      },
    },
    ...{ clock, env: { HOME: dir, ESPALIER_DATA_DIR: dir }, uid: 1000, signal: interrupt.signal },
  });
  assert.equal(await watching, 130);
  assert.equal(terminal.stdout(), '2026-11-21T10:00:00  node.drained  node:main-1  controller  a roll\n');
});

void test('doctor prints what it found with what to do, and the summary on standard error', async (t) => {
  const { dir } = await startController(t);
  const { out, err, code } = await run(dir, ['doctor', '--url', `http://127.0.0.1:1`]);
  assert.equal(code, 1);
  assert.match(
    out,
    /^✗ api {2}The controller at http:\/\/127\.0\.0\.1:1 does not answer \(ECONNREFUSED\)\.\n {7}Start it with/,
  );
  assert.equal(err, '0 ok, 0 to look at, 1 failed\n');
});

void test('doctor compares the build that the controller runs with its own, or versions where it tells no build', () => {
  const own = { version: '0.1.0', build: '0.1.0+abc.1' };
  const about = { deployment: 'espalier', version: '0.1.0' };
  assert.deepEqual(judgeBuild({ ...about, build: '0.1.0+abc.1' }, own), {
    status: 'ok',
    detail: 'Deployment espalier, the controller is 0.1.0+abc.1.',
  });
  assert.deepEqual(judgeBuild({ ...about, build: '0.1.0+old.1' }, own), {
    status: 'warn',
    detail: 'The controller is 0.1.0+old.1, this command line is 0.1.0+abc.1.',
    todo: 'Run `espalier up`, which restarts it.',
  });
  assert.equal(judgeBuild(about, own).status, 'ok');
  assert.equal(judgeBuild({ ...about, version: '0.0.9' }, own).status, 'warn');
});

void test('completion gives words and live names, and nothing when there is no controller', async (t) => {
  const { dir } = await startController(t);
  const complete = async (...words: string[]) =>
    (await run(dir, ['complete', '--', ...words])).out.split('\n').slice(0, -1);
  assert.deepEqual(await complete('si'), ['site']);
  assert.deepEqual(await complete('site', 'su'), ['suspend']);
  assert.deepEqual(await complete('site', 'show', ''), ['acme', 'bolt']);
  assert.deepEqual(await complete('site', 'set-hosts', 'acme', ''), []);
  assert.deepEqual(await complete('why', 'si'), ['site']);
  assert.deepEqual(await complete('why', 'site', 'bo'), ['bolt']);
  assert.deepEqual(await complete('token', 'create', '--scope', 'o'), ['operate']);
  assert.deepEqual(await complete('pool', 'list', '--js'), ['--json']);
  assert.deepEqual((await run(tmpdir(), ['complete', '--', 'site', 'show', ''])).out, '');
});
