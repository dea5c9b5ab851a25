// Bad input, as people send it over HTTP: a problem with a stable code and what to do, and nothing has changed, neither in
// the store nor in the engines.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { makeApi } from '../../src/api/api.ts';
import type { ProblemDocument } from '../../src/lib/errors.ts';
import { makeSilentLogger } from '../../src/lib/log.ts';
import { makeDeployedWorld, type World } from './world.ts';

type Refusal = [
  what: string,
  request: [method: string, path: string, body?: object],
  code: string,
  /** Makes the circumstances, and gives how they end. */
  given?: (world: World) => Promise<() => Promise<void>>,
];

const site = (wish: object) => ({ name: 'fresh', app: 'wordpress', hosts: ['fresh.example'], ...wish });
const pool = (wish: object) => ({ name: 'fresh', app: 'wordpress', ...wish });
const badHosts: [what: string, host: string][] = [
  ['with a space', 'a b.example'],
  ['with a port', 'a.example:80'],
  ['with an empty label', 'a..example'],
  ['with a leading dash', '-a.example'],
  ['with a path', 'a.example/wp'],
  ['with an underscore', 'a_b.example'],
  ['that climbs out of a folder', '../../etc'],
  ['that breaks a line', 'a.example\nb.example'],
  ['too long for a socket', `${'a'.repeat(60)}.${'b'.repeat(40)}.example`],
  ['without a letter', ''],
];

const withLittleDisk = async (world: World) => {
  const [storage] = Object.values(world.machine.storagePools);
  const sizeGib = storage?.sizeGib ?? 0;
  Object.assign(storage ?? {}, { sizeGib: 0.1 });
  return async () => void Object.assign(storage ?? {}, { sizeGib });
};
const withLittleMemory = async (world: World) => {
  const [node] = (await world.fleet.instances.list({ labels: { kind: 'node' } })).map(({ name }) => name);
  world.fleet.setLoad(node ?? '', { memoryBytes: 31 * 2 ** 30 });
  await world.beat();
  return async () => {
    world.fleet.setLoad(node ?? '', { memoryBytes: 2 ** 26 });
    await world.beat();
  };
};
const withFullPool = async (world: World) => {
  await world.store.query(`UPDATE pool SET max_sites = 1 WHERE name = 'wordpress'`);
  return async () => void (await world.store.query(`UPDATE pool SET max_sites = 250 WHERE name = 'wordpress'`));
};

const withSuspendedSite = async (world: World) => {
  await world.store.query(`UPDATE site SET state = 'suspended' WHERE name = 'wordpress'`);
  await world.store.query('UPDATE task SET site_closed = true');
  return async () => {
    await world.store.query(`UPDATE site SET state = 'ready' WHERE name = 'wordpress'`);
    await world.store.query('UPDATE task SET site_closed = false');
  };
};
const task = (wish: object): Refusal[1] => [
  'POST',
  '/v1/tasks',
  { site: 'wordpress', name: 'fresh', command: ['true'], every: '5m', ...wish },
];
const badTasks: [what: string, wish: object, code?: string][] = [
  ['with four fields of cron', { every: undefined, cron: '* * * *' }, 'task.bad-cron'],
  ['in the 61st minute', { every: undefined, cron: '61 * * * *' }, 'task.bad-cron'],
  ['on 31 February', { every: undefined, cron: '0 0 31 2 *' }, 'task.never-due'],
  ['in an unknown zone', { every: undefined, cron: '0 3 * * *', zone: 'Europe/Atlantis' }, 'task.unknown-zone'],
  ['with a zone and no cron', { zone: 'Europe/Atlantis' }, 'task.unknown-zone'],
  ['every 0 minutes', { every: '0m' }, 'task.bad-interval'],
  ['every -5 minutes', { every: '-5m' }, 'task.bad-interval'],
  ['every now and then', { every: 'often' }, 'task.bad-interval'],
  ['with two schedules', { cron: '0 3 * * *' }, 'common.invalid-input'],
  ['with a negative timeout', { timeoutS: -1 }],
  ['without any time', { timeoutS: 0 }],
  ['with a command in one text', { command: 'php cron.php' }],
  ['with an empty command', { command: [] }],
  ['with a command of numbers', { command: [1, 2] }],
  ['with a character that no program can be given', { command: ['echo', 'a\u0000b'] }],
  ['of an unknown class', { class: 'soon' }],
  ['of a malformed name', { name: 'Fresh Task' }],
  ['with an unknown field', { timeout: 5 }],
  ['with less memory than a process needs', { memoryMb: 0 }],
  ['of no site', { site: 'nothing' }, 'common.not-found'],
  ['of a name that is taken', { name: 'cron' }, 'task.taken'],
];

const refusals: Refusal[] = [
  ['a site of a name that is taken', ['POST', '/v1/sites', site({ name: 'wordpress' })], 'site.taken'],
  [
    'a site of a host name that is taken',
    ['POST', '/v1/sites', site({ hosts: ['fresh.example', 'wordpress.localhost'] })],
    'site.host-taken',
  ],
  [
    'a host name that is taken, in capitals',
    ['POST', '/v1/sites', site({ hosts: ['WordPress.LOCALHOST'] })],
    'site.host-taken',
  ],
  [
    "a host name below another site's",
    ['POST', '/v1/sites', site({ hosts: ['shop.wordpress.localhost'] })],
    'site.host-overlaps',
  ],
  ["a host name above another site's", ['POST', '/v1/sites', site({ hosts: ['localhost'] })], 'site.host-overlaps'],
  ...badHosts.map(
    ([what, host]): Refusal => [
      `a host name ${what}`,
      ['POST', '/v1/sites', site({ hosts: [host] })],
      'http.invalid-request',
    ],
  ),
  [
    'a host name twice',
    ['POST', '/v1/sites', site({ hosts: ['fresh.example', 'Fresh.example'] })],
    'http.invalid-request',
  ],
  ['a site without a host name', ['POST', '/v1/sites', site({ hosts: [] })], 'http.invalid-request'],
  ['a malformed name', ['POST', '/v1/sites', site({ name: 'Fresh Site' })], 'http.invalid-request'],
  ['an unknown app', ['POST', '/v1/sites', site({ app: 'joomla' })], 'site.unknown-app'],
  [
    'an unknown setting',
    ['POST', '/v1/sites', site({ app: 'mediawiki', settings: { colour: 'red' } })],
    'site.unknown-setting',
  ],
  ['an app without a pool', ['POST', '/v1/sites', site({ app: 'mautic' })], 'pool.none-for-app'],
  ["another app's pool", ['POST', '/v1/sites', site({ pool: 'mediawiki' })], 'pool.none-for-app'],
  ['a site on a pool at its limit', ['POST', '/v1/sites', site({ pool: 'wordpress' })], 'pool.full', withFullPool],
  ['a site when every pool is at its limit', ['POST', '/v1/sites', site({})], 'pool.none-for-app', withFullPool],
  ['a site without disk', ['POST', '/v1/sites', site({})], 'server.no-disk', withLittleDisk],
  ['a pool without disk', ['POST', '/v1/pools', pool({})], 'server.no-disk', withLittleDisk],
  ['a bake without disk', ['POST', '/v1/images', { recipe: 'wordpress' }], 'server.no-disk', withLittleDisk],
  ['a pool without memory', ['POST', '/v1/pools', pool({ size: 3 })], 'server.no-memory', withLittleMemory],
  ['a larger pool than the servers carry', ['POST', '/v1/pools/wordpress/scale', { size: 100 }], 'server.no-memory'],
  [
    'a database server without memory',
    ['POST', '/v1/databases', { name: 'big', memoryMb: 65_536 }],
    'server.no-memory',
  ],
  ['a pool of a name that is taken', ['POST', '/v1/pools', pool({ name: 'wordpress' })], 'pool.taken'],
  ['a pool of an app without an image', ['POST', '/v1/pools', pool({ app: 'moodle' })], 'image.none'],
  [
    "workers of a pool that has some of another app's",
    ['POST', '/v1/pools', pool({ role: 'worker', worksFor: 'mediawiki' })],
    'common.invalid-input',
  ],
  ['workers of no pool', ['POST', '/v1/pools', pool({ role: 'worker', worksFor: 'nothing' })], 'common.invalid-input'],
  [
    'a serving pool that works for another',
    ['POST', '/v1/pools', pool({ worksFor: 'wordpress' })],
    'common.invalid-input',
  ],
  ['a pool without an app', ['POST', '/v1/pools', { name: 'fresh' }], 'common.invalid-input'],
  ...badTasks.map(([what, wish, code]): Refusal => [`a task ${what}`, task(wish), code ?? 'http.invalid-request']),
  ['a task of a suspended site', task({}), 'task.site-closed', withSuspendedSite],
  ['a run of a suspended site', ['POST', '/v1/tasks/wordpress/cron/run', {}], 'task.site-closed', withSuspendedSite],
  ['the removal of a task of the recipe', ['DELETE', '/v1/tasks/wordpress/cron'], 'task.of-recipe'],
  ['the pause of no task', ['POST', '/v1/tasks/wordpress/nothing/pause', {}], 'common.not-found'],
  ['a run that never was', ['GET', '/v1/runs/4711'], 'task.no-run'],
  ['a pool of no nodes', ['POST', '/v1/pools', pool({ size: 0 })], 'http.invalid-request'],
  ['the deletion of a pool with sites', ['DELETE', '/v1/pools/wordpress'], 'pool.in-use'],
  ['the removal of a database server with sites', ['DELETE', '/v1/databases/db1'], 'database.in-use'],
  ['the removal of a cache server with sites', ['DELETE', '/v1/caches/cache1'], 'cache.in-use'],
  ['a bake of nothing', ['POST', '/v1/images', { recipe: 'joomla' }], 'image.no-recipe'],
  ['a bake without its archive', ['POST', '/v1/images', { recipe: 'mautic' }], 'image.no-archive'],
  [
    "another site's host names",
    ['PUT', '/v1/sites/wordpress/hosts', { hosts: ['mediawiki.localhost'] }],
    'site.host-taken',
  ],
  [
    'host names that overlap',
    ['PUT', '/v1/sites/wordpress/hosts', { hosts: ['wordpress.localhost', 'a.mediawiki.localhost'] }],
    'site.host-overlaps',
  ],
  ['the return of a site that is there', ['POST', '/v1/sites/wordpress/resume', {}], 'site.wrong-state'],
  ['the suspension of no site', ['POST', '/v1/sites/nothing/suspend', {}], 'common.not-found'],
  ['the deletion of no site', ['DELETE', '/v1/sites/nothing'], 'common.not-found'],
  ['the replacement of no node', ['POST', '/v1/nodes/nothing/replace', {}], 'common.not-found'],
  ['another port for visitors', ['POST', '/v1/deployment', { httpPort: 9999 }], 'deployment.port-fixed'],
];

/** How many rows each table has. */
async function countRows(world: World): Promise<Record<string, number>> {
  const tables = await world.store.query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`,
  );
  const counts = tables.map(({ name }) => `SELECT '${name}' AS name, count(*) AS rows FROM ${name}`);
  const rows = await world.store.query<{ name: string; rows: number }>(counts.join(' UNION ALL '));
  return Object.fromEntries(rows.map((table) => [table.name, table.rows]));
}

void describe('bad input is refused before anything happens', () => {
  let world: World;
  let api: ReturnType<typeof makeApi>;
  before(async () => {
    world = await makeDeployedWorld();
    const { platform, rooms } = world.controller;
    api = makeApi({
      about: { version: 'test', build: 'test', deployment: 'faults', simulated: true, store: 'pglite', startedAt: '' },
      rooms: rooms.routes,
      operations: platform.operations,
      events: platform.events,
      loops: platform.loops,
      checks: rooms.checks,
      subjectOf: rooms.subjectOf,
      authenticate: platform.authenticate,
      idempotency: platform.idempotency,
      closing: new AbortController().signal,
      clock: world.clock,
      log: makeSilentLogger(),
    });
  });
  after(() => world.close());

  for (const [what, request, code, given] of refusals) {
    void it(`${what}: ${code}`, async () => {
      const undo = await given?.(world);
      try {
        const before = { rows: await countRows(world), machine: structuredClone(world.machine) };
        const [method, path, body] = request;
        const answer = await api.fetch(
          new Request(`http://localhost${path}`, {
            method,
            ...(body === undefined ? {} : { body: JSON.stringify(body) }),
            headers: { 'Content-Type': 'application/json' },
          }),
          { transport: 'local' },
        );
        const problem = (await answer.json()) as ProblemDocument;
        assert.equal(problem.code, code, problem.detail);
        assert.equal(answer.status, problem.status);
        assert.ok(problem.todo.length > 10 && problem.detail.length > 10, 'it says what happened and what to do');
        assert.deepEqual({ rows: await countRows(world), machine: world.machine }, before);
      } finally {
        await undo?.();
      }
    });
  }
});
