// What every Fleet must do, as tests: run against the simulated twin (simulated/fleet.test.ts) and a real Incus
// (test/system/fleet.test.ts). Apart from both so that neither can drift from the other.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Problem } from '../lib/errors.ts';
import type { Fleet, FleetEvent, FleetSetup, ImageFiles, InstanceSpec } from './fleet.ts';
import { readTree } from './incus/tree.ts';

export interface FleetHarness {
  /** Its place is empty before and after. Its commands are those of busybox (or answered as if). */
  fleet: Fleet;
  /** Another deployment's: own project, but the same network and storage pool names. */
  stranger: Fleet;
  setup: FleetSetup & { cidr: string };
  /** An image file whose containers run until they are told to stop. */
  image: ImageFiles;
  /** Resolves when a started container hears requests to stop. */
  waitUntilUp(name: string): Promise<void>;
  /** An existing folder of the host. */
  hostFolder: string;
}

/** Asserts that `work` throws the problem `incus.name`. */
async function assertProblem(name: string, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (thrown) => {
    assert.ok(thrown instanceof Problem, `not a problem: ${thrown}`);
    assert.equal(thrown.code, `incus.${name}`, thrown.message);
    return true;
  });
}

/** Reads events until one fits; the test's own time limit bounds it. */
async function readUntil(events: AsyncIterable<FleetEvent>, fits: (event: FleetEvent) => boolean) {
  const seen: FleetEvent[] = [];
  for await (const event of events) {
    seen.push(event);
    if (fits(event)) return seen;
  }
  return seen;
}

/** Defines the suite. `makeHarness` is called once, before the first test. */
export function testFleet(title: string, makeHarness: () => Promise<FleetHarness>): void {
  void describe(title, () => {
    let harness: FleetHarness;
    let fleet: Fleet;
    let fingerprint: string;

    const specOf = (name: string, more: Partial<InstanceSpec> = {}): InstanceSpec => ({
      name,
      source: { image: 'tiny' },
      labels: { kind: 'node', pool: 'main' },
      devices: {},
      ...more,
    });

    before(async () => {
      harness = await makeHarness();
      fleet = harness.fleet;
      await fleet.setUp(harness.setup);
      const image = await fleet.images.import(harness.image, { alias: 'tiny', labels: { kind: 'base' } });
      fingerprint = image.fingerprint;
    });

    after(async () => {
      await fleet.tearDown();
      await fleet.close();
      await harness.stranger.close();
    });

    void describe('the place', () => {
      void it('is set up a second time without a change, and tells its subnet and its free static addresses', async () => {
        const first = await fleet.usage();
        const second = await fleet.setUp(harness.setup);
        assert.equal(second.cidr, harness.setup.cidr);
        assert.equal(second.driver, harness.setup.driver);
        assert.deepEqual({ ...second, diskUsedBytes: 0 }, { ...first, diskUsedBytes: 0 });
        assert.match(second.firstStatic, /\.2$/);
        assert.match(second.lastStatic, /\.191$/);
        assert.ok(second.diskTotalBytes > 0);
      });

      void it('is refused to another deployment that wants the same names, which leaves nothing behind', async () => {
        await assertProblem('not-ours', harness.stranger.setUp(harness.setup));
        await assertProblem('not-ours', harness.stranger.tearDown());
        assert.equal((await fleet.usage())?.cidr, harness.setup.cidr);
      });

      void it('has a server that is online, with cores, memory and disk', async () => {
        const [server] = await fleet.servers();
        assert.ok(server);
        assert.equal(server.status, 'online');
        assert.ok(server.name !== '' && server.cores > 0);
        assert.ok(server.memoryFreeBytes > 0 && server.memoryFreeBytes <= server.memoryBytes);
        assert.ok(server.diskFreeBytes > 0);
        assert.deepEqual(await fleet.capabilities(), { copyOnWrite: true, cluster: false, shift: true });
      });
    });

    void describe('images', () => {
      void it('with the same content are one, and the last alias and labels win', async () => {
        const again = await fleet.images.import(harness.image, { alias: 'tiny', labels: { kind: 'base', n: '2' } });
        assert.equal(again.fingerprint, fingerprint);
        assert.deepEqual(again.labels, { kind: 'base', n: '2' });
        assert.deepEqual(again.aliases, ['tiny']);
        assert.equal((await fleet.images.list({ labels: { kind: 'base' } })).length, 1);
        assert.deepEqual(await fleet.images.list({ labels: { kind: 'other' } }), []);
      });

      void it('are found by alias and by fingerprint', async () => {
        assert.equal((await fleet.images.read('tiny'))?.fingerprint, fingerprint);
        assert.equal((await fleet.images.read(fingerprint))?.fingerprint, fingerprint);
        assert.equal(await fleet.images.read('absent'), undefined);
      });

      void it('cannot be imported from a file that is not there', async () => {
        await assertProblem('source-not-found', fleet.images.import({ unified: '/absent/x.tar' }, { labels: {} }));
      });
    });

    void describe('containers', () => {
      void it('are made as told, found by their labels, and read back', async () => {
        const ipv4Address = (await fleet.usage())?.firstStatic ?? '';
        const spec = specOf('made', {
          config: { 'limits.memory': '128MiB' },
          devices: {
            eth0: { kind: 'nic', ipv4Address },
            shared: { kind: 'disk', source: harness.hostFolder, path: '/mnt', readonly: true, shift: true },
          },
          start: true,
        });
        const made = await fleet.instances.create(spec);
        assert.equal(made.status, 'running');
        assert.equal(made.image, fingerprint);
        assert.equal(made.server, (await fleet.servers())[0]?.name);
        assert.deepEqual(made.labels, spec.labels);
        assert.deepEqual(made.config, spec.config);
        assert.deepEqual(made.devices, spec.devices);
        assert.deepEqual(await fleet.instances.read('made'), made);
        const found = await fleet.instances.list({ labels: { pool: 'main' } });
        assert.deepEqual(
          found.map(({ name }) => name),
          ['made'],
        );
        assert.deepEqual(await fleet.instances.list({ labels: { pool: 'other' } }), []);
        await fleet.instances.delete('made', { force: true });
        assert.equal(await fleet.instances.read('made'), undefined);
      });

      void it('tell their state, alone and in the list', async () => {
        await fleet.instances.create(specOf('told', { start: true }));
        const state = await fleet.instances.readState('told');
        assert.equal(state.status, 'running');
        assert.ok(state.memoryBytes > 0 && state.processes > 0 && state.cpuS >= 0);
        const [listed] = await fleet.instances.list({ withState: true });
        assert.equal(listed?.state?.status, 'running');
        await assertProblem('not-found', fleet.instances.readState('absent'));
        await fleet.instances.delete('told', { force: true });
      });

      void it('of one name are one: create refuses the second, ensure brings it to what is wanted', async () => {
        await fleet.instances.create(specOf('one'));
        await assertProblem('exists', fleet.instances.create(specOf('one')));
        await assertProblem('exists', fleet.instances.ensure(specOf('one', { labels: { kind: 'edge' } })));
        const config = { 'limits.processes': '200' };
        const ensured = await fleet.instances.ensure(specOf('one', { config, start: true }));
        assert.deepEqual(ensured.config, config);
        assert.equal(ensured.status, 'running');
        const same = await fleet.instances.ensure(specOf('one', { config, start: true }));
        assert.equal(same.createdAt, ensured.createdAt);
        await fleet.instances.delete('one', { force: true });
        assert.equal((await fleet.instances.ensure(specOf('one'))).status, 'stopped');
        await fleet.instances.delete('one');
      });

      void it('are not made from what does not exist', async () => {
        await assertProblem(
          'source-not-found',
          fleet.instances.create(specOf('none', { source: { image: 'absent' } })),
        );
        const hash = 'f'.repeat(64);
        await assertProblem('source-not-found', fleet.instances.create(specOf('none', { source: { image: hash } })));
        await assertProblem(
          'source-not-found',
          fleet.instances.create(specOf('none', { source: { copyOf: 'absent' } })),
        );
        const devices = { v: { kind: 'volume', volume: 'absent', path: '/srv/v' } } as const;
        await assertProblem('source-not-found', fleet.instances.create(specOf('none', { devices })));
        await assertProblem('not-found', fleet.instances.create(specOf('none', { server: 'absent' })));
        assert.equal(await fleet.instances.read('none'), undefined);
      });

      void it('are started and stopped as often as one likes, and deleted running only by force', async () => {
        await fleet.instances.create(specOf('switched'));
        await fleet.instances.start('switched');
        await fleet.instances.start('switched');
        await assertProblem('running', fleet.instances.delete('switched'));
        await fleet.instances.restart('switched', { force: true });
        await harness.waitUntilUp('switched');
        await fleet.instances.stop('switched');
        await fleet.instances.stop('switched', { force: true });
        await assertProblem('not-running', fleet.instances.restart('switched'));
        assert.equal((await fleet.instances.read('switched'))?.status, 'stopped');
        await fleet.instances.delete('switched');
        await fleet.instances.delete('switched');
        await assertProblem('not-found', fleet.instances.start('switched'));
        await assertProblem('not-found', fleet.instances.stop('switched'));
      });

      void it('cannot have an address that another one has', async () => {
        const ipv4Address = (await fleet.usage())?.lastStatic ?? '';
        const devices = { eth0: { kind: 'nic', ipv4Address } } as const;
        await fleet.instances.create(specOf('first', { devices, start: true }));
        await assertProblem('address-taken', fleet.instances.create(specOf('second', { devices, start: true })));
        assert.equal((await fleet.instances.read('second'))?.status, 'stopped');
        await fleet.instances.delete('first', { force: true });
        await fleet.instances.start('second');
        await fleet.instances.delete('second', { force: true });
      });

      void it('are changed in config, labels and devices', async () => {
        await fleet.instances.create(specOf('changed', { config: { 'limits.processes': '100' } }));
        await fleet.instances.updateConfig('changed', {
          config: { 'limits.processes': null, 'limits.memory': '64MiB' },
          labels: { pool: null, image: '7' },
        });
        const proxy = { kind: 'proxy', listen: 'tcp:127.0.0.1:18733', connect: 'tcp:127.0.0.1:80' } as const;
        await fleet.instances.updateDevices('changed', { proxy, root: { kind: 'root', sizeGib: 2 } });
        const changed = await fleet.instances.read('changed');
        assert.deepEqual(changed?.config, { 'limits.memory': '64MiB' });
        assert.deepEqual(changed?.labels, { kind: 'node', image: '7' });
        assert.deepEqual(changed?.devices, { proxy, root: { kind: 'root', sizeGib: 2 } });
        await fleet.instances.delete('changed');
      });
    });

    void describe('inside a container', () => {
      before(async () => {
        await fleet.instances.create(specOf('inside', { start: true }));
      });
      after(async () => {
        await fleet.instances.delete('inside', { force: true });
      });

      void it('a command gives its exit code and both outputs, and reads its input', async () => {
        assert.deepEqual(await fleet.exec('inside', ['echo', 'hello']), {
          code: 0,
          stdout: 'hello\n',
          stderr: '',
          truncated: false,
        });
        assert.equal((await fleet.exec('inside', ['cat'], { stdin: 'given\n' })).stdout, 'given\n');
        const failed = await fleet.exec('inside', ['sh', '-c', 'echo why >&2; exit 7']);
        assert.deepEqual({ ...failed, stdout: '' }, { code: 7, stdout: '', stderr: 'why\n', truncated: false });
        assert.equal((await fleet.exec('inside', ['absent-program'])).code, 127);
      });

      void it('a command that takes too long is killed, and says so', async () => {
        const started = fleet.exec('inside', ['sleep', '600'], { timeoutMs: 200 });
        await assertProblem('exec-timed-out', started);
      });

      void it('an abort ends a command with its own reason', async () => {
        const abort = new AbortController();
        const reason = new Error('enough');
        const running = fleet.exec('inside', ['sleep', '600'], { signal: abort.signal });
        abort.abort(reason);
        await assert.rejects(running, reason);
      });

      void it('only the end of a long output is kept', async () => {
        const stdin = `${'x'.repeat(5000)}end`;
        const { stdout, truncated } = await fleet.exec('inside', ['cat'], { stdin, maxOutputBytes: 8 });
        assert.deepEqual({ stdout, truncated }, { stdout: 'xxxxxend', truncated: true });
      });

      void it('output is heard while it comes', async () => {
        let heard = '';
        await fleet.exec('inside', ['echo', 'hello'], {
          onOutput: (text, stream) => {
            heard += `${stream}: ${text}`;
          },
        });
        assert.equal(heard, 'stdout: hello\n');
      });

      void it('files are written, read, written anew and removed', async () => {
        await fleet.files.write('inside', '/etc/note', 'one', { mode: 0o600 });
        await fleet.files.write('inside', '/etc/note', 'two', { mode: 0o640, uid: 3, gid: 4 });
        assert.equal(Buffer.from(await fleet.files.read('inside', '/etc/note')).toString(), 'two');
        await fleet.files.remove('inside', '/etc/note');
        await fleet.files.remove('inside', '/etc/note');
        await assertProblem('not-found', fleet.files.read('inside', '/etc/note'));
        await assertProblem('not-found', fleet.files.write('inside', '/etc/absent/note', 'x'));
        await assertProblem('refused', fleet.files.read('inside', '/etc'));
      });

      void it('a large file is written and read in pieces, and no piece is lost', async () => {
        const piece = Buffer.alloc(100_000, 'espalier');
        async function* pieces() {
          for (let n = 0; n < 30; n += 1) yield piece;
        }
        await fleet.files.writePieces('inside', '/etc/large', pieces(), { mode: 0o600 });
        let bytes = 0;
        for await (const one of await fleet.files.readPieces('inside', '/etc/large')) bytes += one.length;
        assert.equal(bytes, 3_000_000);
        const content = Buffer.from(await fleet.files.read('inside', '/etc/large'));
        assert.ok(content.subarray(2_900_000).equals(piece));
        await fleet.files.remove('inside', '/etc/large');
        await assertProblem('not-found', fleet.files.readPieces('inside', '/etc/large'));
        await assertProblem('refused', fleet.files.readPieces('inside', '/etc'));
      });

      void it('a tree is written with its folders', async () => {
        const folder = import.meta.dirname;
        await fleet.files.writeTree('inside', { folder: `${folder}/incus` }, '/opt/new/place');
        for (const entry of await readTree({ folder: `${folder}/incus` })) {
          if (!('content' in entry)) continue;
          const there = await fleet.files.read('inside', `/opt/new/place/${entry.path}`);
          assert.equal(Buffer.from(there).toString(), Buffer.from(entry.content).toString());
        }
        const long = `${'long-'.repeat(30)}name`;
        await fleet.files.writeTree('inside', { entries: [{ path: long, content: 'x', mode: 0o600 }] }, '/opt');
        assert.equal((await fleet.files.read('inside', `/opt/${long}`)).length, 1);
      });

      void it('files are listed with checksums, targets and owners, but for what is skipped', async () => {
        const entries = [
          { path: 'b/file', content: 'hello', mode: 0o640, uid: 3, gid: 4 },
          { path: 'b/link', link: '../a' },
          { path: 'skipped/deep/file', content: 'x' },
          { path: 'a', content: '', mode: 0o755 },
        ];
        await fleet.files.writeTree('inside', { entries }, '/opt/listed');
        const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
        assert.deepEqual(await fleet.files.list('inside', '/opt/listed', { skip: ['/opt/listed/skipped'] }), [
          { path: '/opt/listed/a', mode: 0o755, uid: 0, gid: 0, sha256: sha256('') },
          { path: '/opt/listed/b/file', mode: 0o640, uid: 3, gid: 4, sha256: sha256('hello') },
          { path: '/opt/listed/b/link', mode: 0o777, uid: 0, gid: 0, link: '../a' },
        ]);
      });

      void it('nothing can be run where there is no container, or a stopped one, which still gives its files and log', async () => {
        await assertProblem('not-found', fleet.exec('absent', ['echo']));
        await fleet.instances.create(specOf('resting'));
        await assertProblem('not-running', fleet.exec('resting', ['echo']));
        await fleet.files.write('resting', '/etc/note', 'kept');
        assert.equal((await fleet.files.read('resting', '/etc/note')).length, 4);
        assert.equal(typeof (await fleet.instances.readLog('resting')), 'string');
        await fleet.instances.delete('resting');
      });
    });

    void describe('snapshots', () => {
      before(async () => {
        const devices = { eth0: { kind: 'nic' } } as const;
        await fleet.instances.create(specOf('seed', { labels: { kind: 'seed', app: 'x' }, devices, start: true }));
        await fleet.files.write('seed', '/etc/state', 'good');
        await fleet.snapshots.create('seed', 'before');
        await fleet.files.write('seed', '/etc/state', 'bad');
      });
      after(async () => {
        await fleet.instances.delete('seed', { force: true });
      });

      void it('are listed, made once, and deleted as often as one likes', async () => {
        await assertProblem('exists', fleet.snapshots.create('seed', 'before'));
        await fleet.snapshots.create('seed', 'after');
        const names = async () => (await fleet.snapshots.list('seed')).map(({ name }) => name);
        assert.deepEqual(await names(), ['before', 'after']);
        await fleet.snapshots.delete('seed', 'after');
        await fleet.snapshots.delete('seed', 'after');
        assert.deepEqual(await names(), ['before']);
        await assertProblem('not-found', fleet.snapshots.list('absent'));
      });

      void it('can be copied to a container that takes over content, but neither labels nor devices', async () => {
        const spec = specOf('copied', { source: { copyOf: 'seed/before' }, labels: { kind: 'copy' }, start: true });
        const copied = await fleet.instances.create(spec);
        assert.deepEqual(copied.labels, { kind: 'copy' });
        assert.deepEqual(copied.devices, {});
        assert.equal(copied.status, 'running');
        assert.equal(Buffer.from(await fleet.files.read('copied', '/etc/state')).toString(), 'good');
        await fleet.instances.delete('copied', { force: true });
      });

      void it('are published as images, as are stopped containers, but not running ones', async () => {
        await assertProblem('running', fleet.images.publish('seed', { labels: {} }));
        const wish = { alias: 'baked', labels: { kind: 'app', number: '1' } };
        const baked = await fleet.images.publish('seed/before', wish);
        assert.deepEqual(baked.labels, wish.labels);
        assert.deepEqual(baked.aliases, ['baked']);
        assert.equal((await fleet.images.publish('seed/before', wish)).fingerprint, baked.fingerprint);
        await fleet.instances.create(specOf('node1', { source: { image: 'baked' } }));
        assert.equal(Buffer.from(await fleet.files.read('node1', '/etc/state')).toString(), 'good');
        const second = await fleet.images.publish('node1', { alias: 'baked', labels: { kind: 'app', number: '2' } });
        assert.deepEqual((await fleet.images.read('baked'))?.fingerprint, second.fingerprint);
        assert.deepEqual((await fleet.images.read(baked.fingerprint))?.aliases, []);
        await fleet.images.delete(baked.fingerprint);
        await fleet.images.delete('baked');
        await fleet.images.delete('baked');
        assert.equal((await fleet.instances.read('node1'))?.name, 'node1');
        await fleet.instances.delete('node1');
      });

      void it('put a container back', async () => {
        await fleet.snapshots.restore('seed', 'before');
        assert.equal(Buffer.from(await fleet.files.read('seed', '/etc/state')).toString(), 'good');
        await assertProblem('not-found', fleet.snapshots.restore('seed', 'absent'));
      });
    });

    void describe('volumes', () => {
      void it('a volume is carried to another, and brought up to date when it is there', async () => {
        const [{ name: server = '' } = { name: '' }] = await fleet.servers();
        await fleet.volumes.create({ name: 'carried', labels: { of: 'x' } });
        for (let times = 0; times < 2; times += 1) {
          const copy = await fleet.volumes.carry('carried', { name: 'carried-2', labels: { of: 'y' }, server });
          assert.deepEqual([copy.server, copy.labels.of], [server, 'y']);
        }
        await assertProblem('source-not-found', fleet.volumes.carry('nowhere', { name: 'n', labels: {}, server }));
        for (const name of ['carried', 'carried-2']) await fleet.volumes.delete(name);
      });

      void it('are made once, mounted by several containers, and not deleted in use', async () => {
        const made = await fleet.volumes.create({ name: 'content', labels: { pool: 'main' }, shifted: true });
        assert.deepEqual(made.labels, { pool: 'main' });
        assert.equal(made.shifted, true);
        await assertProblem('exists', fleet.volumes.create({ name: 'content', labels: {} }));
        const devices = { content: { kind: 'volume', volume: 'content', path: '/srv/content' } } as const;
        const config = { 'security.idmap.isolated': 'true' };
        await fleet.instances.create(specOf('v1', { devices, config, start: true }));
        await fleet.instances.create(specOf('v2', { devices, config, start: true }));
        assert.deepEqual((await fleet.volumes.read('content'))?.usedBy.toSorted(), ['v1', 'v2']);
        await assertProblem('in-use', fleet.volumes.delete('content'));
        await fleet.instances.delete('v1', { force: true });
        await fleet.instances.delete('v2', { force: true });
        await fleet.volumes.delete('content');
        await fleet.volumes.delete('content');
        assert.equal(await fleet.volumes.read('content'), undefined);
      });

      void it('have snapshots, from which they are put back and copied', async () => {
        await fleet.volumes.create({ name: 'data', labels: { of: 'x' } });
        await fleet.volumes.createSnapshot('data', 'monday');
        await assertProblem('exists', fleet.volumes.createSnapshot('data', 'monday'));
        assert.deepEqual(
          (await fleet.volumes.listSnapshots('data')).map(({ name }) => name),
          ['monday'],
        );
        await fleet.volumes.restoreSnapshot('data', 'monday');
        const copy = await fleet.volumes.copy('data/monday', { name: 'copy', labels: { of: 'y' } });
        assert.deepEqual(copy.labels, { of: 'y' });
        assert.deepEqual(await fleet.volumes.listSnapshots('copy'), []);
        await assertProblem('source-not-found', fleet.volumes.copy('absent', { name: 'no', labels: {} }));
        assert.deepEqual(
          (await fleet.volumes.list({ labels: { of: 'y' } })).map(({ name }) => name),
          ['copy'],
        );
        await fleet.volumes.deleteSnapshot('data', 'monday');
        await fleet.volumes.deleteSnapshot('data', 'monday');
        await fleet.volumes.delete('data');
        await fleet.volumes.delete('copy');
      });
    });

    void describe('events', () => {
      void it('begin with a reset and tell what happens to containers, until the signal aborts', async () => {
        const abort = new AbortController();
        const events = fleet.events(abort.signal)[Symbol.asyncIterator]();
        assert.deepEqual((await events.next()).value, { kind: 'reset' });
        await fleet.instances.create(specOf('watched', { start: true }));
        await fleet.instances.delete('watched', { force: true });
        const rest = { [Symbol.asyncIterator]: () => events };
        const seen = await readUntil(
          rest,
          (event) => event.kind === 'lifecycle' && event.action === 'instance-deleted' && event.name === 'watched',
        );
        const actions = seen.flatMap((event) => (event.kind === 'lifecycle' ? [event.action] : []));
        assert.ok(actions.includes('instance-created') && actions.includes('instance-started'), actions.join());
        abort.abort();
        assert.equal((await events.next()).done, true);
      });
    });

    void describe('in the end', () => {
      void it('the place is removed with all that is in it, and a second time is fine', async () => {
        await fleet.instances.create(specOf('left', { start: true }));
        await fleet.volumes.create({ name: 'left', labels: {} });
        await fleet.tearDown();
        await fleet.tearDown();
        assert.equal(await fleet.usage(), undefined);
      });
    });
  });
}
