// Every change of the API can be asked for with `?dryRun=true`, says what it would do in one shape, and changes nothing then.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listWithoutDryRun } from '../../src/api/dry-run.ts';
import { makeOperationRoutes } from '../../src/api/operation-routes.ts';
import { makeTokenRoutes } from '../../src/api/token-routes.ts';
import { type ApiRoutes, makeRoutes } from '../../src/platform/http.ts';
import type { Operations } from '../../src/platform/operations/operation.ts';
import { withCommandLine } from './command-line.ts';
import { makeServers, type World, withDeployedWorld } from './world.ts';

/** Changes without a dry run, each with the reason. */
const EXEMPT: Record<string, string> = {
  'POST /v1/uploads': 'a place for bytes that are to come',
  'PUT /v1/uploads/{id}': 'the bytes',
  'DELETE /v1/uploads/{id}': 'the bytes',
};

const listAll = (world: World): ApiRoutes[] => [
  ...world.controller.rooms.routes,
  makeTokenRoutes({ store: world.controller.platform.store }),
  makeOperationRoutes(world.controller.platform.operations as Operations),
];

/** A person with all rights, at the room's own door. */
function makeAsk(world: World) {
  const api = makeRoutes();
  api.use('*', async (c, next) => {
    c.set('who', { by: 'test', scopes: ['admin'] });
    await next();
  });
  api.onError((thrown) => {
    throw thrown;
  });
  for (const routes of listAll(world)) api.route('/', routes);
  return async (method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> => {
    const [bare, query = ''] = path.split('?');
    const answer = await api.request(`${bare}?dryRun=true${query === '' ? '' : `&${query}`}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
    });
    return { status: answer.status, body: await answer.json() };
  };
}

void test('every route that changes something has a dry run', () =>
  withDeployedWorld(async (world) => {
    assert.deepEqual(listWithoutDryRun(listAll(world)), Object.keys(EXEMPT).sort());
  }));

/** What each table holds, by number of rows and by content where a dry run might change some. */
async function readAll(world: World): Promise<unknown> {
  const tables = [
    'edge',
    'edge_address',
    'server_firewall',
    'config_clock',
    'pool',
    'node',
    'site',
    'server',
    'operation',
    'operation_lock',
    'secret',
    'event',
    'task',
    'token',
  ];
  const found = [];
  for (const table of tables) {
    const [row] = await world.store.query<{ sum: string }>(
      `SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') AS sum FROM ${table} AS t`,
    );
    found.push([table, row?.sum]);
  }
  return found;
}

void test('dry runs answer in one shape and leave nothing behind', () =>
  withDeployedWorld(
    async (world) => {
      const ask = makeAsk(world);
      const alert = { metric: 'busy-workers', is: '>', threshold: 5, forS: 60, vote: 'grow' };
      const [node] = await world.store.query<{ name: string }>(
        `SELECT name FROM node WHERE pool = 'wordpress' LIMIT 1`,
      );
      const before = await readAll(world);
      const asked: [string, string, unknown?][] = [
        ['POST', '/v1/sites', { name: 'new', app: 'wordpress', hosts: ['new.example'] }],
        ['POST', '/v1/sites/wordpress/suspend'],
        ['PATCH', '/v1/sites/wordpress/labels', { plan: 'gold' }],
        ['PUT', '/v1/sites/wordpress/hosts', { hosts: ['other.example'] }],
        ['PATCH', '/v1/sites/wordpress/limits', { requestsPerS: 5, phpWorkers: null }],
        ['DELETE', '/v1/sites/wordpress?graceS=10'],
        ['PUT', '/v1/sites/wordpress/mail', { held: true }],
        ['POST', '/v1/sites/wordpress/snapshots'],
        ['POST', '/v1/sites/wordpress/export'],
        ['POST', '/v1/pools', { name: 'more', app: 'wordpress' }],
        ['PATCH', '/v1/pools/wordpress', { maxSites: 3 }],
        ['PUT', '/v1/pools/wordpress/limits', { cpus: 1 }],
        ['POST', '/v1/pools/wordpress/scale', { size: 3 }],
        ['POST', `/v1/nodes/${node?.name}/replace`],
        ['PUT', '/v1/pools/wordpress/policy', { min: 2, max: 2, alerts: [alert] }],
        ['POST', '/v1/databases', { name: 'db9' }],
        ['PATCH', '/v1/databases/db1', { maxSites: 9 }],
        ['POST', '/v1/databases/db1/renew'],
        ['POST', '/v1/caches', { name: 'cache9' }],
        ['POST', '/v1/images', { recipe: 'wordpress' }],
        ['POST', '/v1/images/refresh', {}],
        ['PATCH', '/v1/images/wordpress/1', { keep: true }],
        ['POST', '/v1/seeds', { name: 'next', app: 'wordpress' }],
        ['POST', '/v1/tasks/wordpress/cron/pause'],
        ['POST', '/v1/tasks/wordpress/cron/run'],
        ['PATCH', '/v1/shares/wordpress', { weight: 2 }],
        ['POST', '/v1/tokens', { name: 'ci', scopes: ['read'] }],
        ['PATCH', '/v1/servers/s2', { domain: 'rack' }],
        ['POST', '/v1/servers/s2/drain', { leaveBehind: true }],
        ['POST', '/v1/servers/update', { leaveBehind: true }],
        ['POST', '/v1/join-tokens', {}],
        ['POST', '/v1/edges', {}],
        ['PUT', '/v1/edge-address', { address: '192.0.2.100' }],
        ['DELETE', '/v1/edge-address'],
        ['PUT', '/v1/servers/s2/firewall', { mode: 'strict', allow: ['tcp/9100'] }],
        ['POST', '/v1/deployment/stop'],
        ['DELETE', '/v1/deployment'],
      ];
      for (const [method, path, body] of asked) {
        const answer = await ask(method, path, body);
        assert.equal(answer.status, 200, `${method} ${path}: ${JSON.stringify(answer.body)}`);
        const { plan, sites, pauseS } = answer.body as { plan: string[]; sites: string[]; pauseS: number };
        assert.ok(Array.isArray(plan) && plan.length > 0 && Array.isArray(sites), `${method} ${path}`);
        assert.equal(typeof pauseS, 'number', `${method} ${path}`);
        assert.deepEqual(await readAll(world), before, `${method} ${path} left something behind`);
      }
      assert.deepEqual(((await ask('DELETE', '/v1/deployment')).body as { sites: string[] }).sites.toSorted(), [
        'mediawiki',
        'wordpress',
      ]);
    },
    { servers: makeServers(2), cluster: true },
  ));

void test('a dry run is refused for the very reasons for which the change would be', () =>
  withDeployedWorld(async (world) => {
    const ask = makeAsk(world);
    const refused = (method: string, path: string, body: unknown, code: string) =>
      assert.rejects(ask(method, path, body), { code });
    await refused('POST', '/v1/sites', { name: 'wordpress', app: 'wordpress', hosts: ['x.example'] }, 'site.taken');
    await refused('DELETE', '/v1/databases/db1', undefined, 'database.in-use');
    await refused('POST', '/v1/databases', { name: 'db1' }, 'database.taken');
    await refused('POST', '/v1/join-tokens', {}, 'server.cluster-not-made');
    await refused('POST', '/v1/servers/local/undrain', undefined, 'drain.not-draining');
    await refused('POST', '/v1/edges', {}, 'edge.no-other-server');
    await refused('DELETE', '/v1/edges/edge1', undefined, 'edge.last');
    await refused('POST', '/v1/servers/local/fence', undefined, 'server.not-lost');
    await refused('POST', '/v1/controller-tokens', { server: 'local' }, 'controller.needs-postgresql');
    await refused('PUT', '/v1/servers/nowhere/firewall', { mode: 'off' }, 'common.not-found');
    await refused('PATCH', '/v1/pools/nowhere', { maxSites: 3 }, 'common.not-found');
    await refused('POST', '/v1/pools/wordpress/roll/pause', undefined, 'pool.not-rolling');
  }));

void test('plan in front of a verb of edges, servers or controllers says what it would do, and asks for no name', () =>
  withCommandLine(async (say, world) => {
    const before = await readAll(world);
    const share = await say('plan edge share 192.0.2.100');
    assert.equal(share.code, 0, share.err);
    assert.match(share.out, /One of the edges answers at 192\.0\.2\.100, ports 8080 and 443/);
    assert.match(share.err, /Nothing was changed/);
    const firewall = await say('plan server firewall local --mode strict --allow tcp/9100');
    assert.match(firewall.out, /tcp\/9100 can reach it/);
    assert.match((await say('plan edge delete edge1')).err, /It is the only edge that serves/);
    assert.match((await say('plan server fence local')).err, /not lost|only a lost server/i);
    assert.match((await say('plan controller add local')).err, /needs-postgresql/);
    assert.deepEqual(await readAll(world), before);
  }));
