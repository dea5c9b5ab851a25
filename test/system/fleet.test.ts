// The fleet over a real Incus: the conformance suite, and what only a real engine can show.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { InstanceSpec } from '../../src/engines/fleet.ts';
import { testFleet } from '../../src/engines/fleet-conformance.ts';
import { makeIncusClient, toPath } from '../../src/engines/incus/client.ts';
import { INCUS_SOCKET, makeIncusFleet } from '../../src/engines/incus/fleet.ts';
import { Problem } from '../../src/lib/errors.ts';
import { holdPlace } from './hold-place.ts';
import { makeTinyImage, WAIT_UNTIL_UP } from './tiny-image.ts';

const PLACE = { project: 'esp-test-fleet', network: 'esp-test-fleet', storagePool: 'esp-test-fleet' };
const SETUP = { driver: 'btrfs', sizeGib: 4, cidr: '10.87.101.1/24' };

await holdPlace(PLACE.project);
const folder = await mkdtemp(join(tmpdir(), 'espalier-fleet-'));
const image = { unified: await makeTinyImage(folder) };
after(() => rm(folder, { recursive: true }));

/** The place's fleet, with what an earlier, killed run left behind removed. */
async function makeCleanFleet() {
  const fleet = makeIncusFleet({ place: PLACE });
  await fleet.tearDown();
  return fleet;
}

testFleet('the fleet over Incus', async () => {
  const fleet = await makeCleanFleet();
  return {
    fleet,
    stranger: makeIncusFleet({ place: { ...PLACE, project: 'esp-test-fleet2' } }),
    setup: SETUP,
    image,
    waitUntilUp: async (name) => {
      await fleet.exec(name, WAIT_UNTIL_UP);
    },
    hostFolder: folder,
  };
});

const isCode = (code: string) => (thrown: unknown) => thrown instanceof Problem && thrown.code === `incus.${code}`;

void describe('Incus itself', () => {
  const fleet = makeIncusFleet({ place: PLACE });
  const specOf = (name: string, more: Partial<InstanceSpec> = {}): InstanceSpec => ({
    name,
    source: { image: 'tiny' },
    labels: { kind: 'node' },
    config: { 'security.idmap.isolated': 'true' },
    devices: {},
    start: true,
    ...more,
  });

  before(async () => {
    await fleet.tearDown();
    await fleet.setUp(SETUP);
    await fleet.images.import(image, { alias: 'tiny', labels: { kind: 'base' } });
    await fleet.instances.create(specOf('box', { devices: { eth0: { kind: 'nic', ipv4Address: '10.87.101.77' } } }));
  });
  after(async () => {
    await fleet.tearDown();
    await fleet.close();
  });

  void it('gives a container the address that was chosen for it', async () => {
    const waitForAddress = 'until ip addr show eth0 | grep -q "inet 10.87.101.77/24"; do sleep 0.1; done';
    const { code } = await fleet.exec('box', ['sh', '-c', waitForAddress], { timeoutMs: 20_000 });
    assert.equal(code, 0);
    assert.deepEqual((await fleet.instances.readState('box')).addresses, ['10.87.101.77']);
  });

  void it('really kills a command whose bound has passed or whose caller went away', async () => {
    const untilGone = ['sh', '-c', 'while ps | grep -q "sleep 471[1]"; do sleep 0.05; done'];
    await assert.rejects(fleet.exec('box', ['sleep', '4711'], { timeoutMs: 300 }), isCode('exec-timed-out'));
    assert.equal((await fleet.exec('box', untilGone)).code, 0);
    const abort = new AbortController();
    const running = fleet.exec('box', ['sleep', '4711'], { signal: abort.signal });
    const seen = await fleet.exec('box', ['sh', '-c', 'until ps | grep -q "sleep 471[1]"; do sleep 0.05; done']);
    assert.equal(seen.code, 0);
    abort.abort(new Error('gone'));
    await assert.rejects(running, /gone/);
    assert.equal((await fleet.exec('box', untilGone)).code, 0);
  });

  void it('takes a large input whole, and survives a command that does not read it', async () => {
    const stdin = new Uint8Array(8_000_000);
    assert.equal((await fleet.exec('box', ['wc', '-c'], { stdin })).stdout.trim(), '8000000');
    assert.equal((await fleet.exec('box', ['sh', '-c', 'exit 3'], { stdin })).code, 3);
  });

  void it('runs many commands at once', async () => {
    const results = await Promise.all(Array.from({ length: 40 }, (_, i) => fleet.exec('box', ['echo', `${i}`])));
    assert.deepEqual(
      results.map(({ stdout }) => stdout.trim()),
      results.map((_, i) => `${i}`),
    );
  });

  void it('runs a command as the user, in the folder and with the environment that it is told', async () => {
    const options = { uid: 12, gid: 34, cwd: '/tmp', env: { GREETING: 'a b' } };
    const { stdout } = await fleet.exec('box', ['sh', '-c', 'id -u; id -g; pwd; echo "$GREETING"'], options);
    assert.equal(stdout, '12\n34\n/tmp\na b\n');
  });

  void it('sets owner and mode of a file, also when it was there before', async () => {
    await fleet.files.write('box', '/etc/note', 'x', { mode: 0o644 });
    await fleet.files.write('box', '/etc/note', 'y', { mode: 0o600, uid: 5, gid: 6 });
    const { stdout } = await fleet.exec('box', ['stat', '-c', '%a %u %g', '/etc/note']);
    assert.equal(stdout, '600 5 6\n');
    const entries = [{ path: 'tool', content: '#!/bin/sh\necho ran', mode: 0o750, uid: 7 }];
    await fleet.files.writeTree('box', { entries }, '/srv/new');
    assert.equal((await fleet.exec('box', ['stat', '-c', '%a %u', '/srv/new/tool'])).stdout, '750 7\n');
    assert.equal((await fleet.exec('box', ['/srv/new/tool'])).stdout, 'ran\n');
  });

  void it('shares a shifted volume between containers with different id maps, owners intact', async () => {
    await fleet.volumes.create({ name: 'content', labels: {}, shifted: true });
    const devices = { content: { kind: 'volume', volume: 'content', path: '/srv' } } as const;
    await fleet.instances.create(specOf('left', { devices }));
    await fleet.instances.create(specOf('right', { devices }));
    await fleet.exec('left', ['sh', '-c', 'echo shared > /srv/file; chown 1234 /srv/file']);
    assert.equal((await fleet.exec('right', ['stat', '-c', '%u', '/srv/file'])).stdout, '1234\n');
    const rootOf = async (name: string) => (await fleet.exec(name, ['cat', '/proc/self/uid_map'])).stdout;
    assert.notEqual(await rootOf('left'), await rootOf('right'));
  });

  void it('keeps what a container wrote to its console', async () => {
    assert.match(await fleet.instances.readLog('box'), /tiny container box is up/);
  });

  void it('leaves alone what others put into the project', async () => {
    const client = makeIncusClient({ socketPath: INCUS_SOCKET, project: PLACE.project });
    const path = toPath('instances');
    const devices = { root: { type: 'disk', path: '/', pool: PLACE.storagePool } };
    const json = { name: 'foreign', source: { type: 'image', alias: 'tiny' }, devices };
    await client.operate({ method: 'POST', path, what: 'foreign', json }, {});
    assert.equal(await fleet.instances.read('foreign'), undefined);
    assert.ok((await fleet.instances.list()).every(({ name }) => name !== 'foreign'));
    await assert.rejects(fleet.instances.delete('foreign', { force: true }), isCode('not-ours'));
    await assert.rejects(fleet.instances.ensure(specOf('foreign')), isCode('not-ours'));
    await client.operate({ method: 'DELETE', path: toPath('instances', 'foreign'), what: 'foreign' }, {});
    await client.close();
  });

  void it('is away, and that is worth waiting for, when its socket is not there', async () => {
    const nobody = makeIncusFleet({ place: PLACE, socketPath: join(folder, 'absent.socket') });
    await assert.rejects(nobody.instances.list(), (thrown) => isCode('away')(thrown) && (thrown as Problem).retryable);
    await nobody.close();
  });
});
