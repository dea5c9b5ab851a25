// On which server a pool's volume is to lie.
import assert from 'node:assert/strict';
import { makeSimulatedFleet } from '../engines/simulated/fleet.ts';
import type { Store } from '../platform/store.ts';
import { withStores } from '../platform/test-store.ts';
import { storeHeartbeats, storeServer, storeServerState } from '../servers/store.ts';
import { chooseHome } from './home.ts';
import { contentVolume } from './parts.ts';
import { insertPool } from './store.ts';

const SERVERS = ['a', 'b'].map((name) => ({ name, cores: 2, memoryBytes: 2 ** 33, diskBytes: 2 ** 36 }));
const memory = { memoryTotalBytes: 2 ** 33, memoryAvailableBytes: 2 ** 33 };
const load = {
  ...{ cores: 2, load1: 0, cpuPressure: 0, memoryPressure: 0, ioPressure: 0, clockMs: 0 },
  ...{ ...memory, diskTotalBytes: 2 ** 36, diskFreeBytes: 2 ** 36 },
};
const signal = AbortSignal.timeout(60_000);

async function prepare(store: Store, ...names: string[]) {
  for (const { name } of SERVERS) {
    await storeServer(store, { name, state: 'ready', reason: 'test', address: '', version: '' });
    await storeHeartbeats(store, [{ server: name, load }]);
  }
  const pool = { app: 'wordpress', kind: 'shared' as const, dedicatedTo: null, limits: {}, worksFor: null };
  for (const name of names)
    await insertPool(store, { ...pool, name, imageNumber: 1, wanted: 1, maxSites: 1, nodeMemoryMb: 64 });
  const place = { project: 'test', network: 'test', storagePool: 'test' };
  const fleet = makeSimulatedFleet({ place, servers: SERVERS });
  await fleet.setUp({ driver: 'btrfs' });
  return { store, fleet };
}

withStores((test) => {
  test('pools that are made at once do not choose the same server', async ({ store }) => {
    const parts = await prepare(store, 'one', 'two');
    const homes = await Promise.all(['one', 'two'].map((pool) => chooseHome(parts, pool, undefined, signal)));
    assert.deepEqual(homes.toSorted(), ['a', 'b']);
  });

  test('a choice holds while its server is ready, and a volume counts where it lies', async ({ store }) => {
    const parts = await prepare(store, 'one', 'two', 'three');
    assert.equal(await chooseHome(parts, 'one', 'b', signal), 'b', 'asked for');
    assert.equal(await chooseHome(parts, 'one', undefined, signal), 'b', 'chosen before');
    assert.equal(await chooseHome(parts, 'two', undefined, signal), 'a');
    const volume = { name: contentVolume('two'), labels: { kind: 'content', pool: 'two' }, shifted: true, server: 'b' };
    await parts.fleet.volumes.create(volume);
    assert.equal(await chooseHome(parts, 'three', undefined, signal), 'a', 'two lies on b, whatever was chosen');
    await storeServerState(store, 'b', 'lost', 'test');
    assert.equal(await chooseHome(parts, 'one', undefined, signal), 'a', 'its server is away');
  });
});
