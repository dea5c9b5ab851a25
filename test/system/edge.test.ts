// The edge in a real container: what visitors get, and that nothing they ask for is lost while nodes and hosts come,
// go and die. The order matters: each test takes the edge as the one before left it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import https from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { makeSystemClock } from '../../src/lib/clock.ts';
import { Problem } from '../../src/lib/errors.ts';
import { type EdgeDocument, type EdgeHost, edgeDocument } from '../../src/protocol/edge-document.ts';
import {
  ask,
  askUntil,
  DOOR_PORT,
  EDGE,
  type EdgePlace,
  HAND,
  makeEdgePlace,
  nodeAddress,
  openHand,
  startLoad,
} from './edge-place.ts';
import { until } from './live-http.ts';

const host = (name: string, more: Partial<EdgeHost> = {}) => ({
  ...{ host: name, site: `s${name.replace(/\W/g, '').padEnd(9, '0').slice(0, 9)}`, pool: 'shared' },
  ...{ state: 'ready', requestsPerS: 0, connections: 0, ...more },
});

/** `~n1`: n1 is drained. `hand`: the node in the test's hand. */
function documentOf(
  nodes: readonly string[],
  hosts = [host('acme.test')],
  pools: readonly string[] = [],
): EdgeDocument {
  const servers = nodes.map((word) => {
    const name = word.replace('~', '');
    const where = name === 'hand' ? HAND : { address: nodeAddress(name), port: 80 };
    return { name, ...where, drain: word !== name };
  });
  return edgeDocument.parse({
    version: 1,
    trustedProxies: [],
    pools: [{ name: 'shared', servers }, ...pools.map((name) => ({ name, servers: [] }))],
    hosts,
  });
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

void describe('the edge', () => {
  let place: EdgePlace;
  const apply = (document: EdgeDocument) => place.applier.apply(document, AbortSignal.timeout(60_000));
  const readServers = async () =>
    (await place.applier.readStats(AbortSignal.timeout(5_000))).pools.find((pool) => pool.name === 'shared')?.servers ??
    [];
  const untilStatus = (name: string, pattern: RegExp) =>
    until(`${name} as ${pattern}`, 20_000, async () => {
      const status = (await readServers()).find((server) => server.name === name)?.status ?? '';
      return pattern.test(status) ? true : undefined;
    });

  /** What a person might do. */
  const typeAtSocket = async (line: string) => {
    const socket = connect(join(place.dir, 'admin.sock'));
    socket.end(`${line}\n`);
    await new Promise((resolve) => socket.resume().once('close', resolve));
  };

  /** A worker serves a little before the master that loads what is new answers. */
  const untilMasterAnswers = () =>
    until('the master process to answer', 20_000, async () => {
      const socket = connect(join(place.dir, 'master.sock'));
      const { promise, resolve } = Promise.withResolvers<true | undefined>();
      socket.once('connect', () => resolve(true)).once('error', () => resolve(undefined));
      const answers = await promise;
      socket.destroy();
      return answers;
    });

  before(async () => {
    place = await makeEdgePlace(['n1', 'n2', 'n3']);
  });
  after(() => place?.close());

  void it('starts from the prepared directory and says that it knows no site', async () => {
    await askUntil((answer) => answer.status === 421);
    const answer = await ask();
    assert.match(answer.body, /No site lives here/);
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.equal((await ask({ path: '/.espalier/edge' })).status, 200);
  });

  void it('serves a host of a new pool as soon as it was told', async () => {
    for (const name of ['n1', 'n2', 'n3']) {
      await askUntil((answer) => answer.body === 'ok', { address: nodeAddress(name), path: '/.espalier/health' });
    }
    const applied = await apply(documentOf(['n1']));
    assert.equal(applied.reloaded, true);
    assert.equal((await ask()).status, 200);
    assert.equal((await ask({ host: 'ACME.test:8080' })).status, 200);
    assert.equal((await ask({ host: 'other.test' })).status, 421);
  });

  void it('adds hosts and nodes without a reload, within 200 ms at the median of 20', async (t) => {
    const tookMs: number[] = [];
    for (let number = 0; number < 20; number++) {
      const nodes = number % 2 === 0 ? ['n2'] : ['n3'];
      const startedMs = performance.now();
      const applied = await apply(documentOf(nodes, [host('acme.test'), host(`new-${number}.test`)]));
      const answer = await ask({ host: `new-${number}.test` });
      tookMs.push(performance.now() - startedMs);
      assert.equal(applied.reloaded, false);
      assert.equal(applied.serversAdded, 1);
      assert.equal(answer.status, 200);
      assert.equal(answer.body.slice(0, 2), nodes[0]);
    }
    tookMs.sort((one, other) => one - other);
    t.diagnostic(`from the call to the page: median ${tookMs[10]?.toFixed(1)} ms, most ${tookMs[19]?.toFixed(1)} ms`);
    assert.ok((tookMs[10] ?? Infinity) < 200);
  });

  void it('changes nothing when nothing is to be changed, and puts right what was changed behind its back', async () => {
    const document = documentOf(['n1', 'n2', 'n3']);
    await apply(document);
    const again = await apply(document);
    assert.equal(again.reloaded, false);
    assert.equal(again.serversAdded + again.serversChanged + again.serversRemoved + again.mapEntriesChanged, 0);
    const socket = connect(join(place.dir, 'admin.sock'));
    socket.end(
      'del map /etc/espalier-edge/maps/hosts.map acme.test; disable server shared/n2; set weight shared/n3 0\n',
    );
    await new Promise((resolve) => socket.resume().once('close', resolve));
    assert.equal((await ask()).status, 421);
    const put = await apply(document);
    assert.equal(put.mapEntriesChanged, 1);
    assert.equal(put.serversChanged, 2);
    assert.equal((await ask()).status, 200);
    assert.ok((await readServers()).every((server) => server.status.startsWith('UP')));
  });

  void it('tells nodes who the visitor is, and believes nobody else', async () => {
    const lies = {
      'x-forwarded-for': '6.6.6.6',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'evil.test',
      'x-forwarded-ssl': 'on',
      'x-real-ip': '6.6.6.6',
      forwarded: 'for=6.6.6.6',
    };
    const told = (body: string) => body.slice(3);
    assert.equal(
      told((await ask({ headers: lies })).body),
      'for=10.87.114.1 proto=http host=acme.test real= fwd= ssl=',
    );
    const door = { address: '127.0.0.1', port: DOOR_PORT };
    assert.equal(
      told((await ask({ ...door, headers: lies })).body),
      'for=127.0.0.1 proto=http host=acme.test real= fwd= ssl=',
    );
    await assert.rejects(ask({ port: 81 }), /ECONNREFUSED/);

    await apply({ ...documentOf(['n1', 'n2', 'n3']), trustedProxies: ['10.87.114.1/32'] });
    const chain = { ...lies, 'x-forwarded-for': '6.6.6.6, 198.51.100.7' };
    assert.equal(
      told((await ask({ headers: chain })).body),
      'for=198.51.100.7 proto=https host=acme.test real= fwd= ssl=',
    );
    assert.equal(told((await ask()).body), 'for=10.87.114.1 proto=http host=acme.test real= fwd= ssl=');
    assert.equal(told((await ask({ ...door, headers: lies })).body).split(' ')[0], 'for=127.0.0.1');
    await apply(documentOf(['n1', 'n2', 'n3']));
  });

  void it('answers for sites that are not ready, at once and until they are', async () => {
    const states = [
      ['suspended', '3600'],
      ['creating', '5'],
    ] as const;
    for (const [state, retryAfter] of states) {
      const applied = await apply(documentOf(['n1'], [host('acme.test', { state })]));
      assert.equal(applied.reloaded, false);
      const answer = await ask();
      assert.equal(answer.status, 503, state);
      assert.equal(answer.headers['retry-after'], retryAfter);
      assert.match(answer.body, /<!doctype html>/);
      const head = await ask({ method: 'HEAD' });
      assert.deepEqual([head.status, head.body], [503, '']);
    }
    await apply(documentOf(['n1']));
    assert.equal((await ask()).status, 200);
  });

  void it('says so when a pool has no node', async () => {
    await apply(documentOf([]));
    const answer = await ask();
    assert.equal(answer.status, 503);
    assert.match(answer.body, /cannot be reached/);
  });

  void it('holds the first requests of a pool that sleeps until a node is there, and shows a page when none comes', async () => {
    const asleep = (nodes: readonly string[]): EdgeDocument => {
      const document = documentOf(nodes);
      return { ...document, pools: document.pools.map((pool) => ({ ...pool, holds: true })) };
    };
    await apply(asleep([]));
    const early = Promise.all([ask(), ask()]);
    const readPool = async () =>
      (await place.applier.readStats(AbortSignal.timeout(5_000))).pools.find(({ name }) => name === 'shared');
    // That they wait there is what wakes the pool.
    await until('two requests that wait', 20_000, async () => ((await readPool())?.current === 2 ? true : undefined));
    const applied = await apply(asleep(['n1']));
    assert.equal(applied.reloaded, false);
    assert.deepEqual(
      (await early).map(({ status }) => status),
      [200, 200],
    );
    await apply(asleep([]));
    const startedMs = performance.now();
    const late = await ask();
    assert.equal(late.status, 503);
    assert.match(late.body, /Waking up.*http-equiv="refresh" content="3"|http-equiv="refresh" content="3".*Waking up/s);
    assert.ok(performance.now() - startedMs > 19_000);
    await apply(documentOf(['n1', 'n2', 'n3']));
  });

  void it('holds the requests of a site for a moment, whatever they are, and sends each once when it is back', async () => {
    const held = documentOf(['n1'], [host('acme.test', { state: 'held' }), host('other.test')]);
    await apply(held);
    const count = async () => (await place.applier.readStats(AbortSignal.timeout(5_000))).connections;
    const before = await count();
    const early = Promise.all([ask(), ask({ method: 'POST' })]);
    await until('two requests more', 20_000, async () => ((await count()) >= before + 2 ? true : undefined));
    assert.equal((await ask({ host: 'other.test' })).status, 200);
    const applied = await apply(documentOf(['n1', 'n2', 'n3']));
    assert.equal(applied.reloaded, false);
    assert.deepEqual(
      (await early).map(({ status }) => status),
      [200, 200],
    );
    await apply(held);
    const startedMs = performance.now();
    const late = await ask({ method: 'POST' });
    assert.deepEqual([late.status, late.headers['retry-after']], [503, '3']);
    assert.ok(performance.now() - startedMs > 19_000);
    await apply(documentOf(['n1', 'n2', 'n3']));
  });

  void it("holds a site to its limits on all its hosts, and leaves the others' requests alone", async (t) => {
    const site = 's0limited0';
    const limited = [host('slow.test', { site, requestsPerS: 2 }), host('www.slow.test', { site, requestsPerS: 2 })];
    await apply(documentOf(['n1', 'n2', 'n3'], [host('acme.test'), ...limited]));
    const burst = await Promise.all(
      Array.from({ length: 80 }, (_, index) => ask({ host: index % 2 === 0 ? 'slow.test' : 'www.slow.test' })),
    );
    const passed = burst.filter((answer) => answer.status === 200).length;
    assert.ok(passed >= 20 && passed <= 40, `${passed} of 80 passed with 2/s, counted over ten seconds`);
    const refused = burst.find((answer) => answer.status !== 200);
    assert.equal(refused?.status, 429);
    assert.equal(refused?.headers['retry-after'], '1');
    assert.equal((await ask()).status, 200);
    await askUntil((answer) => answer.status === 200, { host: 'slow.test' }, 20_000);

    const hand = await openHand(t);
    await apply(documentOf(['hand'], [host('few.test', { connections: 3 })]));
    const askTogether = async (count: number) =>
      (await Promise.all(Array.from({ length: count }, () => ask({ host: 'few.test' })))).map(({ status }) => status);
    const first = askTogether(3);
    await hand.has(3);
    assert.deepEqual(await askTogether(5), [429, 429, 429, 429, 429]);
    hand.answer();
    assert.deepEqual(await first, [200, 200, 200]);
    await askUntil((answer) => answer.status === 200, { host: 'few.test' });
  });

  void it('sends what a node did not answer to another one, unless it might do something twice', async () => {
    await apply(documentOf(['n1', 'n2']));
    const get = await Promise.all(Array.from({ length: 40 }, () => ask({ path: '/broken' })));
    assert.ok(get.every((answer) => answer.status === 200 && answer.body.startsWith('n2')));
    const post = await Promise.all(Array.from({ length: 40 }, () => ask({ path: '/broken', method: 'POST' })));
    const lost = post.filter((answer) => answer.status === 502);
    assert.ok(lost.length > 0, 'n1 must have got some of the 40');
    assert.match(lost[0]?.body ?? '', /gave no answer/);
  });

  void it('loses no request while nodes are added, drained and removed', async (t) => {
    await apply(documentOf(['n1', 'n2', 'n3']));
    const load = startLoad(t);
    for (let round = 0; round < 12; round++) {
      for (const nodes of [['~n1', 'n2', 'n3'], ['n2', 'n3'], ['n1', '~n2', '~n3'], ['n1'], ['n1', 'n2', 'n3']]) {
        const applied = await apply(documentOf(nodes));
        assert.equal(applied.reloaded, false);
        await wait(40);
      }
    }
    const { requests, failures, nodes } = await load.stop();
    t.diagnostic(`${requests} requests while 60 changes were made`);
    assert.deepEqual(failures, []);
    assert.deepEqual(nodes, ['n1', 'n2', 'n3']);
  });

  void it('gives a drained node no new request', async () => {
    await apply(documentOf(['n1', '~n2', '~n3']));
    const answers = await Promise.all(Array.from({ length: 30 }, () => ask()));
    assert.ok(answers.every((answer) => answer.body.startsWith('n1 ')));
  });

  void it('loses no request while pools come and go, and knows the nodes after the reload as before', async (t) => {
    const load = startLoad(t);
    for (let round = 0; round < 5; round++) {
      const applied = await apply(documentOf(['n1', 'n2', '~n3'], [host('acme.test')], [`pool-${round}`]));
      assert.equal(applied.reloaded, true);
      assert.equal(applied.serversAdded + applied.serversChanged + applied.serversRemoved, 0, 'all from the file');
      await apply(documentOf(['n1', 'n2', 'n3'], [host('acme.test')], [`pool-${round}`]));
      await apply(documentOf(['n1', 'n2', '~n3'], [host('acme.test')], [`pool-${round}`]));
    }
    const { failures } = await load.stop();
    assert.deepEqual(failures, []);
  });

  void it('loses no request when a node is killed, and uses it again when it is back', async (t) => {
    await apply(documentOf(['n1', 'n2', 'n3']));
    const load = startLoad(t);
    await wait(500);
    await place.fleet.instances.stop('n2', { force: true });
    await untilStatus('n2', /^DOWN/);
    await place.fleet.instances.start('n2');
    const startedMs = performance.now();
    await untilStatus('n2', /^UP$/);
    const { requests, failures } = await load.stop();
    t.diagnostic(`${requests} requests; back ${Math.round(performance.now() - startedMs)} ms after its start`);
    assert.deepEqual(failures, []);
  });

  void it('keeps the requests of a leaving node, and says that it has them', async (t) => {
    const hand = await openHand(t);
    await apply(documentOf(['hand']));
    const slow = ask();
    await hand.has(1);
    assert.deepEqual((await apply(documentOf(['n2']))).serversLeaving, ['hand']);
    assert.equal((await ask()).body.slice(0, 2), 'n2');
    hand.answer();
    assert.equal((await slow).body, 'hand');
    const gone = await until('the node without requests', 20_000, async () => {
      const applied = await apply(documentOf(['n2']));
      return applied.serversLeaving.length === 0 ? applied : undefined;
    });
    assert.equal(gone.serversRemoved, 1);
  });

  void it('takes back a node that was about to leave', async (t) => {
    const hand = await openHand(t);
    await apply(documentOf(['hand']));
    const slow = ask();
    await hand.has(1);
    assert.deepEqual((await apply(documentOf([]))).serversLeaving, ['hand']);
    const back = await apply(documentOf(['hand']));
    assert.deepEqual([back.serversAdded, back.serversChanged], [0, 1]);
    const next = ask();
    await hand.has(2);
    hand.answer();
    assert.deepEqual([(await slow).body, (await next).body], ['hand', 'hand']);
  });

  void it('starts with everything it was told, with agent and controller away', async () => {
    await apply(documentOf(['n1', 'n2', '~n3'], [host('acme.test'), host('late.test')]));
    await place.fleet.instances.restart('edge', { force: true });
    const tookMs = await askUntil((answer) => answer.status === 200, { host: 'late.test' });
    await untilMasterAnswers();
    assert.ok(tookMs < 20_000);
    const answers = await Promise.all(Array.from({ length: 30 }, () => ask()));
    assert.ok(
      answers.every((answer) => /^n[12] /.test(answer.body)),
      'n3 is drained',
    );
    const fresh = place.makeApplier();
    const signal = AbortSignal.timeout(10_000);
    const last = await fresh.readLast();
    assert.ok(last);
    const applied = await fresh.apply(last, signal);
    assert.equal(applied.reloaded, false);
    assert.equal(applied.serversAdded + applied.serversChanged + applied.serversRemoved + applied.mapEntriesChanged, 0);
  });

  void it('serves what it was told while it was stopped', async () => {
    await place.exec('edge', 'systemctl', 'stop', 'espalier-edge');
    await assert.rejects(
      apply(documentOf(['n2'], [host('acme.test'), host('meanwhile.test')], ['more'])),
      (error) => error instanceof Problem && error.code === 'haproxy.away' && error.retryable,
    );
    await place.exec('edge', 'systemctl', 'start', 'espalier-edge');
    await askUntil((answer) => answer.status === 200, { host: 'meanwhile.test' });
    await untilMasterAnswers();
  });

  void it('keeps on applying the last document while nobody asks', async () => {
    const abort = new AbortController();
    const system = makeSystemClock();
    const applier = place.makeApplier({ ...system, wait: (_, signal) => system.wait(20, signal) });
    const kept = applier.keep(abort.signal);
    await until('the first application', 20_000, async () => applier.status().applied);
    await typeAtSocket('del map /etc/espalier-edge/maps/hosts.map meanwhile.test');
    await askUntil((answer) => answer.status === 200, { host: 'meanwhile.test' }, 20_000);
    abort.abort();
    await kept;
  });

  void it('keeps the last good configuration when it cannot load a new one, and goes on adding hosts and nodes', async () => {
    await apply(documentOf(['n1']));
    const good = await readFile(join(place.dir, 'haproxy.cfg'), 'utf8');
    await writeFile(join(place.dir, 'certs/bad.pem'), 'this is no certificate\n');
    await assert.rejects(apply(documentOf(['n1', 'n2'], [host('acme.test'), host('later.test')])), (error) => {
      assert.ok(error instanceof Problem);
      assert.equal(error.code, 'haproxy.bad-config');
      assert.match(error.document.detail, /bad\.pem/);
      return true;
    });
    assert.equal(await readFile(join(place.dir, 'haproxy.cfg'), 'utf8'), good);
    assert.equal((await ask({ host: 'later.test' })).status, 200);
    assert.deepEqual((await readServers()).map((server) => server.name).sort(), ['n1', 'n2']);
    await rm(join(place.dir, 'certs/bad.pem'));
    await apply(documentOf(['n1', 'n2'], [host('acme.test'), host('later.test')]));
    assert.equal(place.applier.status().problem, undefined);
  });

  void it('starts from the configuration before when the newest cannot be loaded', async () => {
    await apply(documentOf(['n1'], [host('acme.test')], ['another']));
    await writeFile(join(place.dir, 'haproxy.cfg'), 'nonsense\n');
    await place.fleet.instances.restart('edge', { force: true });
    await askUntil((answer) => answer.status === 200);
    await untilMasterAnswers();
    assert.equal((await apply(documentOf(['n1', 'n2'], [host('acme.test')], ['another']))).reloaded, true);
    assert.equal((await ask()).status, 200);
  });

  void it('opens 443 once there is a certificate, and says https to the nodes', async () => {
    const folder = await mkdtemp('/tmp/edge-cert-');
    const args = [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      '/CN=acme.test',
    ];
    await promisify(execFile)('openssl', [...args, '-keyout', join(folder, 'key'), '-out', join(folder, 'chain')]);
    const pem = (await readFile(join(folder, 'chain'), 'utf8')) + (await readFile(join(folder, 'key'), 'utf8'));
    await writeFile(join(folder, 'acme.test.pem'), pem, { mode: 0o600 });
    await cp(join(folder, 'acme.test.pem'), join(place.dir, 'certs/acme.test.pem'));
    await rm(folder, { recursive: true });
    assert.equal((await apply(documentOf(['n1', 'n2']))).reloaded, true);
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const options = { host: EDGE, servername: 'acme.test', rejectUnauthorized: false, headers: { host: 'acme.test' } };
    https
      .get(options, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (data: string) => {
          body += data;
        });
        response.on('end', () => resolve(body));
      })
      .on('error', reject);
    assert.match(await promise, / proto=https /);
    assert.match((await ask()).body, / proto=http /);
  });

  void it('lets only root at its sockets and keys', async () => {
    assert.equal((await stat(place.dir)).mode & 0o777, 0o700);
    for (const name of ['admin.sock', 'master.sock', 'haproxy.cfg']) {
      const { mode, uid } = await stat(join(place.dir, name));
      assert.deepEqual([mode & 0o777, uid], [0o600, 0], name);
    }
    const probe = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'ls', '/etc/espalier-edge'];
    assert.notEqual((await place.fleet.exec('edge', probe)).code, 0);
  });

  void it('takes five thousand hosts in one go', async (t) => {
    const hosts = Array.from({ length: 5_000 }, (_, index) =>
      host(`many-${index}.test`, { site: `s${String(index).padStart(9, '0')}` }),
    );
    const load = startLoad(t);
    const applied = await apply(documentOf(['n1', 'n2'], [host('acme.test'), ...hosts]));
    t.diagnostic(`${applied.mapEntriesChanged} map entries in ${Math.round(applied.durationMs)} ms`);
    assert.equal(applied.reloaded, false);
    assert.equal((await ask({ host: 'many-4999.test' })).status, 200);
    await apply(documentOf(['n1', 'n2']));
    assert.equal((await ask({ host: 'many-4999.test' })).status, 421);
    assert.deepEqual((await load.stop()).failures, []);
  });
});
