import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Clock } from '../../lib/clock.ts';
import { Problem } from '../../lib/errors.ts';
import { testFleet } from '../fleet-conformance.ts';
import { makeSimulatedFleet, type Responder } from './fleet.ts';
import { makeSimulatedWorld } from './fleet-world.ts';

const PLACE = { project: 'ours', network: 'bridge', storagePool: 'pool' };

/** A clock on which every wait is over at once, and took its time. */
function makeLeapingClock(): Clock {
  let nowMs = Date.parse('2026-01-01T00:00:00Z');
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    wait: async (durationMs, signal) => {
      await new Promise(setImmediate);
      signal?.throwIfAborted();
      nowMs += durationMs;
    },
  };
}

/** A little of busybox. */
const respond: Responder = (_name, argv, options, signal) => {
  const [program, ...rest] = argv;
  if (program === 'echo') return { stdout: `${rest.join(' ')}\n` };
  if (program === 'cat') return { stdout: Buffer.from(options.stdin ?? '').toString() };
  if (program === 'sh') return { code: 7, stderr: 'why\n' };
  if (program !== 'sleep') return { code: 127 };
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
};

const folder = await mkdtemp(join(tmpdir(), 'fleet-'));
after(() => rm(folder, { recursive: true }));

testFleet('the simulated fleet', async () => {
  const world = makeSimulatedWorld();
  const clock = makeLeapingClock();
  const image = join(folder, 'image.tar');
  await writeFile(image, 'an image');
  return {
    fleet: makeSimulatedFleet({ place: PLACE, world, clock, respond }),
    stranger: makeSimulatedFleet({ place: { ...PLACE, project: 'theirs' }, world, clock }),
    setup: { driver: 'btrfs', sizeGib: 8, cidr: '10.9.8.1/24' },
    image: { unified: image },
    waitUntilUp: async () => {},
    hostFolder: folder,
  };
});

async function makeReadyFleet(options: { file?: string } = {}) {
  const clock = makeLeapingClock();
  const servers = ['s1', 's2'].map((name) => ({ name, cores: 2, memoryBytes: 1e9, diskBytes: 1e10 }));
  const fleet = makeSimulatedFleet({ place: PLACE, clock, servers, ...options });
  await fleet.setUp({ driver: 'btrfs' });
  const file = join(folder, 'ready.tar');
  await writeFile(file, 'ready');
  await fleet.images.import({ unified: file }, { alias: 'base', labels: {} });
  const make = (name: string, server?: string) =>
    fleet.instances.create({
      name,
      source: { image: 'base' },
      labels: { kind: 'node' },
      devices: { eth0: { kind: 'nic' } },
      start: true,
      ...(server === undefined ? {} : { server }),
    });
  return { fleet, clock, make };
}

const isAway = (thrown: unknown) => thrown instanceof Problem && thrown.code === 'incus.away' && thrown.retryable;

void describe('the simulated fleet on demand', () => {
  void it('fails the next calls of a verb before they do anything, then works', async () => {
    const { fleet, make } = await makeReadyFleet();
    fleet.faults.failNext('instances.create', undefined, { times: 2 });
    await assert.rejects(make('a'), isAway);
    await assert.rejects(make('a'), isAway);
    assert.equal(await fleet.instances.read('a'), undefined);
    await make('a');
    assert.equal(fleet.faults.calls('instances.create'), 3);
  });

  void it('fails a call after it was done', async () => {
    const { fleet, make } = await makeReadyFleet();
    fleet.faults.failNext('instances.create', new Error('the line broke'), { after: true });
    await assert.rejects(make('a'), /the line broke/);
    assert.equal((await fleet.instances.read('a'))?.status, 'running');
  });

  void it('delays calls, beyond their bound too', async () => {
    const { fleet, clock } = await makeReadyFleet();
    const beforeMs = clock.nowMs();
    fleet.faults.setDelay('instances.list', 3_000);
    await fleet.instances.list();
    assert.equal(clock.nowMs() - beforeMs, 3_000);
    const timedOut = (thrown: unknown) => thrown instanceof Problem && thrown.code === 'incus.timed-out';
    await assert.rejects(fleet.instances.list({}, { timeoutMs: 1_000 }), timedOut);
    assert.equal(clock.nowMs() - beforeMs, 4_000);
  });

  void it('is away as a whole until it is told otherwise', async () => {
    const { fleet } = await makeReadyFleet();
    fleet.faults.setAway(true);
    await assert.rejects(fleet.instances.list(), isAway);
    fleet.faults.clear();
    assert.deepEqual(await fleet.instances.list(), []);
  });

  void it('cuts a server off: it is offline, what is on it cannot be reached, and nothing new is put there', async () => {
    const { fleet, make } = await makeReadyFleet();
    await make('a', 's1');
    fleet.faults.partition('s1');
    assert.deepEqual(
      (await fleet.servers()).map(({ status }) => status),
      ['offline', 'online'],
    );
    await assert.rejects(fleet.exec('a', ['true']), isAway);
    await assert.rejects(fleet.instances.list({ server: 's1' }), isAway);
    const [listed] = await fleet.instances.list({ withState: true });
    assert.deepEqual([listed?.status, listed?.state], ['error', undefined]);
    assert.equal((await make('b')).server, 's2');
    await assert.rejects(make('c', 's1'), isAway);
    fleet.faults.rejoin('s1');
    assert.equal((await fleet.instances.read('a'))?.status, 'running');
  });

  void it('spreads containers over its servers and gives them addresses', async () => {
    const { fleet, make } = await makeReadyFleet();
    for (const name of ['a', 'b', 'c', 'd']) await make(name);
    const all = await fleet.instances.list({ withState: true });
    assert.deepEqual(
      all.map(({ server }) => server),
      ['s1', 's2', 's1', 's2'],
    );
    assert.equal(new Set(all.flatMap(({ state }) => state?.addresses)).size, 4);
  });

  void it('lets a container die by itself, and tells it', async () => {
    const { fleet, make } = await makeReadyFleet();
    await make('a');
    const abort = new AbortController();
    const events = fleet.events(abort.signal)[Symbol.asyncIterator]();
    await events.next();
    const next = events.next();
    fleet.crash('a');
    const event = (await next).value;
    assert.equal(event?.kind === 'lifecycle' && event.action, 'instance-shutdown');
    assert.equal((await fleet.instances.readState('a')).status, 'stopped');
    abort.abort();
  });

  void it('tells the load that it is given', async () => {
    const { fleet, make } = await makeReadyFleet();
    await make('a');
    fleet.setLoad('a', { cpuS: 12, memoryBytes: 3 });
    const { cpuS, memoryBytes } = await fleet.instances.readState('a');
    assert.deepEqual([cpuS, memoryBytes], [12, 3]);
  });

  void it('keeps its world in a file', async () => {
    const file = join(folder, 'world', 'fleet.json');
    const { fleet, make } = await makeReadyFleet({ file });
    await make('a');
    await fleet.files.write('a', '/etc/note', 'kept');
    const again = makeSimulatedFleet({ place: PLACE, file });
    assert.equal((await again.instances.read('a'))?.status, 'running');
    assert.equal(Buffer.from(await again.files.read('a', '/etc/note')).toString(), 'kept');
  });

  void it('says so when that file holds something else', async () => {
    const file = join(folder, 'broken.json');
    await writeFile(file, '{');
    assert.throws(() => makeSimulatedFleet({ place: PLACE, file }), /remove it to begin anew/);
  });
});
