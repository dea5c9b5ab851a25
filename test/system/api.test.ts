// The API and the command line of a real deployment: bad input changes nothing and says what to do, a repeated request
// happens once, a site goes through its whole life with its content.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { OperationDocument, PageDocument } from '../../src/cli/documents.ts';
import { assertProblem, type LiveApi } from './live-api.ts';
import { until } from './live-http.ts';
import { type LivePlace, openLivePlace } from './live-place.ts';

const NAMES = ['life', 'twice', 'once'] as const;
/** What the edge answers for a host name that no site has, and for a site that is suspended. */
const NO_SITE = 421;
const SUSPENDED = 503;

let place: LivePlace;
let api: LiveApi;

before(async () => {
  place = await openLivePlace();
  api = place.api;
  await removeSites();
});
after(async () => {
  await removeSites();
  await place.leave();
});

async function removeSites(): Promise<void> {
  for (const name of NAMES) if ((await api.ask('GET', `/v1/sites/${name}`)).status === 200) await api.removeSite(name);
}

const siteOf = (name: string, change: object = {}) => ({
  ...{ name, app: 'wordpress', hosts: [`${name}.localhost`], pool: 'wordpress' },
  ...change,
});

/** Everything that bad input could have changed. */
async function readAll(): Promise<unknown> {
  const readList = async (path: string) => {
    const { items } = await api.read<PageDocument<Record<string, unknown>>>(path);
    // Health is looked at all the time.
    return items.map(({ checkedAt: _c, health: _h, ...rest }) => rest);
  };
  const lists = ['/v1/sites', '/v1/pools', '/v1/nodes', '/v1/images', '/v1/edges'];
  const still = await Promise.all(lists.map(readList));
  // Their reasons say how many connections are in use.
  const services = (await Promise.all(['/v1/databases', '/v1/caches'].map(readList))).map((items) =>
    items.map(({ reason: _r, ...rest }) => rest),
  );
  const operations = await api.read<PageDocument<OperationDocument>>('/v1/operations?pageSize=1');
  return { still, services, newest: operations.items[0]?.id };
}

type Bad = [why: string, method: string, path: string, body: unknown, status: number, code: string];
const create = (why: string, change: object, status: number, code: string): Bad => [
  ...([why, 'POST', '/v1/sites', siteOf('bad', change), status, code] as const),
];
const INVALID = [400, 'http.invalid-request'] as const;

const badRequests: Bad[] = [
  create('a malformed name', { name: 'Bad_Name' }, ...INVALID),
  create('a name that is too long', { name: 'a'.repeat(40) }, ...INVALID),
  create('no host name', { hosts: [] }, ...INVALID),
  create('a malformed host name', { hosts: ['under_score.example'] }, ...INVALID),
  create('a host name with a port', { hosts: ['bad.localhost:8080'] }, ...INVALID),
  create('a host name with a path', { hosts: ['../../etc/passwd'] }, ...INVALID),
  create('a host name twice', { hosts: ['bad.localhost', 'BAD.localhost'] }, ...INVALID),
  create('a host name that is taken', { hosts: ['bad.localhost', 'wordpress.localhost'] }, 409, 'site.host-taken'),
  create("a parent of another site's host name", { hosts: ['localhost'] }, 409, 'site.host-overlaps'),
  create("a child of another site's host name", { hosts: ['a.b.wordpress.localhost'] }, 409, 'site.host-overlaps'),
  create('a name that is taken', { name: 'wordpress' }, 409, 'site.taken'),
  create('an unknown app', { app: 'drupal' }, 400, 'site.unknown-app'),
  create('a service for an app', { app: 'database' }, 400, 'site.unknown-app'),
  create('an app without a pool', { app: 'mautic', pool: undefined }, 409, 'pool.none-for-app'),
  create('a pool of another app', { pool: 'mediawiki' }, 409, 'pool.none-for-app'),
  create('an unknown pool', { pool: 'nowhere' }, 409, 'pool.none-for-app'),
  create('an unknown setting', { settings: { colour: 'red' } }, 400, 'site.unknown-setting'),
  create('a malformed mail address', { adminEmail: 'nobody' }, ...INVALID),
  ['no JSON', 'POST', '/v1/sites', '{"name": ', 400, 'http.malformed-body'],
  ['another type', 'POST', '/v1/sites', [], ...INVALID],
  ['an unknown site', 'POST', '/v1/sites/nobody/suspend', undefined, 404, 'common.not-found'],
  ['resuming what is ready', 'POST', '/v1/sites/wordpress/resume', undefined, 409, 'site.wrong-state'],
  [
    'taking a host name',
    'PUT',
    '/v1/sites/wordpress/hosts',
    { hosts: ['mediawiki.localhost'] },
    409,
    'site.host-taken',
  ],
  ['a negative grace time', 'DELETE', '/v1/sites/wordpress?graceS=-1', undefined, ...INVALID],
  ['a pool that exists', 'POST', '/v1/pools', { name: 'wordpress', app: 'wordpress' }, 409, 'pool.taken'],
  ['a pool without an image', 'POST', '/v1/pools', { name: 'bad', app: 'mautic' }, 409, 'image.none'],
  ['a pool of no nodes', 'POST', '/v1/pools/wordpress/scale', { size: 0 }, ...INVALID],
  ['a pool larger than the memory', 'POST', '/v1/pools/wordpress/scale', { size: 100 }, 507, 'server.no-memory'],
  ['a pool with sites', 'DELETE', '/v1/pools/wordpress', undefined, 409, 'pool.in-use'],
  ['a database with sites', 'DELETE', '/v1/databases/db1', undefined, 409, 'database.in-use'],
  ['a cache with sites', 'DELETE', '/v1/caches/cache1', undefined, 409, 'cache.in-use'],
  ['an unknown recipe', 'POST', '/v1/images', { recipe: 'drupal' }, 404, 'image.no-recipe'],
  ['another port', 'POST', '/v1/deployment', { httpPort: 9 }, 409, 'deployment.port-fixed'],
  ['an unknown route', 'POST', '/v1/nothing', {}, 404, 'http.no-such-route'],
  ['an unknown field to filter by', 'GET', '/v1/sites?filter=colour%3Dred', undefined, 400, 'http.bad-filter'],
  ['a page token of nobody', 'GET', '/v1/sites?pageToken=x', undefined, 400, 'http.bad-page-token'],
];

void describe('bad input', () => {
  void it('gets a problem with a stable code and what to do, and nothing changes', async () => {
    const before = await readAll();
    for (const [why, method, path, body, status, code] of badRequests) {
      const answer = await api.ask(method, path, body === undefined ? {} : { body });
      const problem = answer.body as { code: string };
      assert.equal(`${answer.status} ${problem.code}`, `${status} ${code}`, `${why}: ${JSON.stringify(answer.body)}`);
      assertProblem(answer, status, code);
      assert.match(String(answer.headers['content-type']), /^application\/problem\+json/);
    }
    assert.deepEqual(await readAll(), before);
  });

  void it('is told alike by the command line, with exit codes of their own', async () => {
    const taken = await place.espalier([
      'site',
      'create',
      'bad',
      '--app',
      'wordpress',
      '--host',
      'wordpress.localhost',
    ]);
    assert.equal(taken.code, 1);
    assert.equal(taken.stdout, '');
    assert.match(taken.stderr, /The host name wordpress\.localhost belongs to the site wordpress\./);
    assert.match(taken.stderr, /\(site\.host-taken\)/);
    assert.equal((await place.espalier(['site', 'create', 'bad'])).code, 2, 'usage');
    const unconfirmed = await place.espalier(['site', 'delete', 'wordpress']);
    assert.notEqual(unconfirmed.code, 0);
    assert.match(unconfirmed.stderr, /--confirm=wordpress/);
    assert.equal((await api.readSite('wordpress')).state, 'ready');
  });

  void it('by an outdated version is refused', async () => {
    const { headers } = await api.ask('GET', '/v1/sites/wordpress');
    assert.match(String(headers.etag), /^"/);
    const given = { body: { hosts: ['bad.localhost'] }, headers: { 'If-Match': '"0"' } };
    assertProblem(await api.ask('PUT', '/v1/sites/wordpress/hosts', given), 412, 'http.changed-meanwhile');
  });
});

void describe('the same request', () => {
  void it('with one Idempotency-Key happens once and has one answer', async () => {
    const headers = { 'Idempotency-Key': `twice-${process.pid}` };
    const body = siteOf('twice');
    const first = await api.ask<{ operation: { id: string } }>('POST', '/v1/sites', { body, headers });
    assert.equal(first.status, 202, JSON.stringify(first.body));
    assert.equal(first.headers.location, `/v1/operations/${first.body.operation.id}`);
    const second = await api.ask('POST', '/v1/sites', { body, headers });
    assert.deepEqual([second.status, second.body], [202, first.body]);
    assert.equal(second.headers['idempotency-replayed'], 'true');
    const other = await api.ask('POST', '/v1/sites', { body: siteOf('other'), headers });
    assertProblem(other, 422, 'idempotency.reused');
    await api.ended(first.body.operation.id);
    const late = await api.ask('POST', '/v1/sites', { body, headers });
    assert.deepEqual(late.body, first.body, 'also when it is done');
  });

  void it('by two people at once is done for one of them', async () => {
    const asked = Array.from({ length: 6 }, () => api.ask('POST', '/v1/sites', { body: siteOf('once') }));
    const answers = await Promise.all(asked);
    const [won, ...more] = answers.filter(({ status }) => status === 202);
    assert.ok(won !== undefined && more.length === 0, `${more.length + 1} of them were taken`);
    for (const answer of answers) if (answer !== won) assertProblem(answer, 409, 'site.taken');
    const operation = await api.ended((won.body as { operation: { id: string } }).operation.id);
    assert.equal(operation.state, 'succeeded');
  });
});

void describe('the life of a site by the command line', () => {
  const title = 'Of pears and walls';
  let postPath: string;

  async function run(...argv: string[]): Promise<string> {
    const { code, stdout, stderr } = await place.espalier(argv);
    assert.equal(code, 0, `${argv.join(' ')}\n${stderr}`);
    return stdout;
  }
  const readStatus = async (host: string) => (await api.visit(host, '/')).status;

  /** A post by WordPress' own code, as the site's user in one node. */
  async function publish(): Promise<void> {
    const [node] = await api.readNodes('wordpress');
    const { id } = await api.readSite('life');
    const code = `require '/usr/share/wordpress/wp-load.php';
      echo wp_insert_post(['post_title' => '${title}', 'post_content' => 'Grown.', 'post_status' => 'publish'], true);`;
    const argv = ['/usr/lib/espalier/site-exec', id, '--', 'php', '-r', code];
    const { stdout, stderr, code: exit } = await place.fleet.exec(node?.name ?? '', argv);
    assert.equal(exit, 0, stderr);
    postPath = `/?p=${stdout.trim()}`;
  }

  async function assertPost(host: string): Promise<void> {
    const first = await api.visit(host, postPath);
    const page = first.status === 301 ? await api.visit(host, new URL(first.headers.location ?? '').pathname) : first;
    assert.equal(page.status, 200);
    assert.ok(page.body.includes(title), 'the post is there');
  }

  void it('begins with its address and first password', async () => {
    const shown = await run(
      'site',
      'create',
      'life',
      '--app',
      'wordpress',
      '--host',
      'life.localhost',
      '--title',
      'Life',
    );
    assert.match(shown, /life +wordpress +http:\/\/life\.localhost:\d+ +\S+\/wp-login\.php +admin +\S{16}/);
    const { items } = JSON.parse(await run('site', 'list', '--json', '--filter', 'name=life')) as PageDocument<{
      state: string;
    }>;
    assert.deepEqual(
      items.map(({ state }) => state),
      ['ready'],
    );
    await publish();
    await assertPost('life.localhost');
  });

  void it('rests while it is suspended', async () => {
    await run('site', 'suspend', 'life', '--reason', 'the bill is late');
    const page = await api.visit('life.localhost', '/');
    assert.equal(page.status, SUSPENDED);
    assert.match(page.body.toString(), /suspended/i);
    for (const { address } of await api.readNodes('wordpress')) {
      assert.notEqual((await api.visit('life.localhost', '/', { address })).status, 200, 'nor on a node');
    }
    assert.match(await run('why', 'site', 'life'), /suspended: the bill is late/);
    await run('site', 'resume', 'life');
    await assertPost('life.localhost');
  });

  void it('moves to other host names with all it has', async () => {
    await run('site', 'set-hosts', 'life', 'bloom.localhost', 'www.bloom-too.localhost');
    assert.equal(await readStatus('life.localhost'), NO_SITE);
    await assertPost('bloom.localhost');
    const aside = await api.visit('www.bloom-too.localhost', '/');
    assert.ok(aside.status === 200 || aside.headers.location?.startsWith('http://bloom.localhost'), `${aside.status}`);
    await run('site', 'set-hosts', 'life', 'life.localhost');
    await assertPost('life.localhost');
  });

  void it('comes back within its grace time', async () => {
    await run('site', 'delete', 'life', '--grace', '3600', '--confirm', 'life');
    assert.equal((await api.readSite('life')).state, 'archived');
    assert.equal(await readStatus('life.localhost'), NO_SITE);
    await run('site', 'resume', 'life');
    await assertPost('life.localhost');
  });

  void it('ends without a trace, and its names are free', async () => {
    const { id } = await api.readSite('life');
    await run('site', 'delete', 'life', '--grace', '0', '--confirm', 'life');
    await until('the purge', 60_000, async () =>
      (await api.ask('GET', `/v1/sites/${id}`)).status === 404 ? true : undefined,
    );
    for (const { name } of await api.readNodes('wordpress')) {
      const argv = ['sh', '-c', `ls -d /srv/content/${id} /etc/espalier/sites/${id} /run/espalier/php/${id}.sock`];
      const { stdout } = await place.fleet.exec(name, argv);
      assert.equal(stdout, '', name);
    }
    await api.assertInOrder();
    await run('site', 'create', 'life', '--app', 'wordpress', '--host', 'life.localhost');
    assert.equal(await readStatus('life.localhost'), 200);
  });
});
