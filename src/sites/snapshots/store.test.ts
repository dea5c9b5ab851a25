// The SQL of snapshots that decides something: numbers that are given once, and one snapshot for one asking.
import assert from 'node:assert/strict';
import { withStores } from '../../platform/test-store.ts';
import { insertSite } from '../store.ts';
import { deleteSnapshot, insertSnapshot, listSnapshots, readSnapshot, storeSnapshotReady } from './store.ts';

const SITE = 'saaaaaaaaa';
const wish = (operation: string, reason = 'asked for') => ({
  ...{ site: SITE, operation, reason, madeBy: 'test', pool: 'p', databaseServer: 'db1', hosts: ['a.example'] },
  ...{ title: 'A', settings: { language: 'en' }, imageNumber: 3 },
});

withStores((test) => {
  test('numbers go on after a snapshot was removed, and asking twice for one gives one', async ({ store }) => {
    await store.query(
      `INSERT INTO pool (name, app, kind, image_number, wanted, max_sites, node_memory_mb, state)
       VALUES ('p', 'tiny', 'shared', 1, 1, 100, 64, 'ready')`,
    );
    const limits = {
      ...{ phpWorkers: 1, phpMemoryMb: 64, requestTimeoutS: 30, uploadMb: 8, requestsPerS: 1 },
      ...{ connections: 1, databaseConnections: 1, statementTimeS: 1 },
    };
    await insertSite(
      store,
      {
        ...{ id: SITE, uid: 20_000, name: 'a', app: 'tiny', pool: 'p', title: 'A', adminUser: 'admin' },
        ...{
          adminEmail: 'a@b.example',
          configVersion: 0,
          settings: {},
          placement: 'test',
          mailHeld: false,
          hooksHeld: false,
        },
        ...{ clonedFrom: null, limits },
      },
      ['a.example'],
    );
    assert.equal(await insertSnapshot(store, wish('one')), 1);
    assert.equal(await insertSnapshot(store, wish('one')), 1);
    assert.equal(await insertSnapshot(store, wish('one', 'before it was restored')), 2);
    const dump = { path: '/d', bytes: 5, sha256: 'x' };
    await storeSnapshotReady(store, { site: SITE, number: 2 }, { dump, filesBytes: 7 });
    await deleteSnapshot(store, { site: SITE, number: 1 });
    await deleteSnapshot(store, { site: SITE, number: 2 });
    assert.equal(await insertSnapshot(store, wish('two')), 3);
    assert.deepEqual(
      (await listSnapshots(store, SITE)).map(({ number, state, hosts, settings }) => ({
        ...{ number, state, hosts, settings },
      })),
      [{ number: 3, state: 'taking', hosts: ['a.example'], settings: { language: 'en' } }],
    );
    await storeSnapshotReady(store, { site: SITE, number: 3 }, { dump, filesBytes: 7 });
    const read = await readSnapshot(store, SITE, 3);
    assert.deepEqual([read?.state, read?.dump, read?.filesBytes], ['ready', dump, 7]);
  });
});
