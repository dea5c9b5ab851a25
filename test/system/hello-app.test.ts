// A third app by its recipe alone (test/apps/hello): image, pool and sites, without a line of TypeScript. Twenty sites at
// once, and a pool at its limit.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { PageDocument } from '../../src/cli/documents.ts';
import { assertProblem, type LiveApi, renderOperation, type SiteDocumentView } from './live-api.ts';
import { type LivePlace, openLivePlace } from './live-place.ts';

const MAX_SITES = 21;
const SITES = Array.from({ length: MAX_SITES - 1 }, (_, n) => `hello-${n}`);

/** What the app's page says. */
interface Hello {
  site: string;
  title: string;
  node: string;
  user: string;
  visits: number;
  session: number;
  url: string;
  client: string;
}

let place: LivePlace;
let api: LiveApi;

before(async () => {
  place = await openLivePlace();
  api = place.api;
  await removeAll();
});
after(async () => {
  await removeAll();
  await place.leave();
});

async function removeAll(): Promise<void> {
  const { items } = await api.read<PageDocument<SiteDocumentView>>('/v1/sites?filter=app%3Dhello');
  await Promise.all(items.map(({ name }) => api.removeSite(name)));
  if ((await api.ask('GET', '/v1/pools/hello')).status === 200) {
    await api.succeed('DELETE', '/v1/pools/hello?deleteBackups=true');
  }
  await api.assertInOrder();
}

const newSite = (name: string) => ({ name, app: 'hello', hosts: [`${name}.localhost`], title: `Title of ${name}` });

async function readHello(
  host: string,
  given: Parameters<LiveApi['visit']>[2] = {},
): Promise<{ hello: Hello; cookie: string }> {
  const { status, headers, body } = await api.visit(host, '/', given);
  assert.equal(status, 200, body.toString());
  const [cookie = ''] = headers['set-cookie'] ?? [];
  return { hello: JSON.parse(body.toString()) as Hello, cookie: cookie.split(';')[0] ?? '' };
}

void describe('an app that is only a recipe', () => {
  void it('is baked, gets a pool and a site by the command line', async () => {
    for (const argv of [
      ['image', 'build', 'hello'],
      [
        'pool',
        'create',
        'hello',
        '--app',
        'hello',
        '--size',
        '2',
        '--max-sites',
        `${MAX_SITES}`,
        '--node-memory',
        '64',
      ],
      ['site', 'create', 'hello', '--app', 'hello', '--host', 'hello.localhost', '--title', 'Hello'],
    ]) {
      const { code, stderr } = await place.espalier(argv);
      assert.equal(code, 0, `${argv.join(' ')}\n${stderr}`);
    }
    const { hello } = await readHello('hello.localhost');
    const { id, url } = await api.readSite('hello');
    assert.deepEqual([hello.site, hello.user, hello.title], [id, id, 'Hello']);
    assert.equal(hello.url, `${url}/`);
  });

  void it('keeps a session over both nodes, and data and uploads for both', async () => {
    const nodes = await api.readNodes('hello');
    assert.equal(nodes.length, 2);
    let cookie = '';
    let [session, visits] = [0, 0];
    for (const { name, address } of [...nodes, ...nodes]) {
      const answer = await readHello('hello.localhost', { address, headers: { cookie } });
      cookie ||= answer.cookie;
      const { hello } = answer;
      assert.equal(hello.node, name);
      assert.equal(hello.session, session + 1, 'the session goes on');
      assert.ok(hello.visits > visits, 'so does the count in the database');
      ({ session, visits } = hello);
    }
    const boundary = 'espalier-boundary';
    const file = 'carried by either';
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="note.txt"\r\n\r\n`;
    await readHello('hello.localhost', {
      ...{ address: nodes[0]?.address ?? '', method: 'POST', body: `${head}${file}\r\n--${boundary}--\r\n` },
      headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    });
    for (const { address } of nodes) {
      assert.equal((await api.visit('hello.localhost', '/files/note.txt', { address })).body.toString(), file);
    }
  });

  void it('sees who the visitor is, and believes nobody who only says so', async () => {
    const headers = { 'x-forwarded-for': '192.0.2.77', 'x-forwarded-proto': 'https', 'x-real-ip': '192.0.2.77' };
    const throughEdge = (await readHello('hello.localhost', { headers })).hello;
    assert.equal(throughEdge.client, '127.0.0.1', 'the visitor of this machine');
    assert.ok(throughEdge.url.startsWith('http://'));
    const [node] = await api.readNodes('hello');
    const direct = (await readHello('hello.localhost', { headers, address: node?.address ?? '' })).hello;
    assert.notEqual(direct.client, '192.0.2.77');
    assert.ok(direct.url.startsWith('http://'));
  });

  void it('takes twenty sites at once, and not one more than its pool may have', async () => {
    const ids = await Promise.all(SITES.map((name) => api.begin('POST', '/v1/sites', newSite(name))));
    const operations = await Promise.all(ids.map((id) => api.ended(id)));
    for (const operation of operations) assert.equal(operation.state, 'succeeded', renderOperation(operation));
    for (const name of SITES) {
      const { hello } = await readHello(`${name}.localhost`);
      assert.equal(hello.title, `Title of ${name}`);
    }
    const full = { body: { ...newSite('hello-more'), pool: 'hello' } };
    assertProblem(await api.ask('POST', '/v1/sites', full), 409, 'pool.full');
    assertProblem(await api.ask('POST', '/v1/sites', { body: newSite('hello-more') }), 409, 'pool.none-for-app');
    await api.assertInOrder();
  });

  void it('lets go of all of them at once', async () => {
    await Promise.all(SITES.map((name) => api.removeSite(name)));
    await api.assertInOrder();
    await readHello('hello.localhost');
  });

  void it('gives up its pool, but final backups only when that is said', async () => {
    await api.removeSite('hello');
    const refused = await place.espalier(['pool', 'delete', 'hello', '--confirm', 'hello']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /\(pool\.holds-backups/);
    assert.equal((await api.readNodes('hello')).length, 2, 'nothing was changed');
    const { code, stderr } = await place.espalier([
      'pool',
      'delete',
      'hello',
      '--confirm',
      'hello',
      '--delete-backups',
    ]);
    assert.equal(code, 0, stderr);
    assertProblem(await api.ask('GET', '/v1/pools/hello'), 404, 'common.not-found');
  });
});
