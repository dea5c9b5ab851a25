// The SQL of sites that decides something: which host names are in each other's way, and which Unix user id is free.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Store } from '../platform/store.ts';
import { withStores } from '../platform/test-store.ts';
import { storeHeld, storeMoved, storeMoving } from './move-store.ts';
import {
  countSitesByPool,
  deleteSite,
  insertSite,
  listSites,
  type NewSiteRow,
  readConflictingHost,
  readFreeUid,
  readSite,
  storeHoldable,
} from './store.ts';

const FIRST_UID = 20_000;

async function makePool(store: Store): Promise<void> {
  await store.query(
    `INSERT INTO pool (name, app, kind, image_number, wanted, max_sites, node_memory_mb, state)
     VALUES ('p', 'tiny', 'shared', 1, 1, 100, 64, 'ready') ON CONFLICT DO NOTHING`,
  );
}

const row = (id: string, uid: number): NewSiteRow => ({
  ...{ id, uid, name: `name-${id}`, app: 'tiny', pool: 'p', title: 'T', adminUser: 'admin', adminEmail: 'a@b.example' },
  ...{ configVersion: 0, settings: {}, placement: 'test', mailHeld: false, hooksHeld: false, clonedFrom: null },
  limits: {
    ...{ phpWorkers: 1, phpMemoryMb: 64, requestTimeoutS: 30, uploadMb: 8, requestsPerS: 1 },
    ...{ connections: 1, databaseConnections: 1, statementTimeS: 1 },
  },
});

withStores((test) => {
  test('a site is found by id and by name, and an id comes first', async ({ store }) => {
    await makePool(store);
    await insertSite(store, row('saaaaaaaaa', 20_000), ['a.example', 'www.a.example']);
    await insertSite(store, { ...row('sbbbbbbbbb', 20_001), name: 'saaaaaaaaa' }, ['b.example']);
    assert.equal((await readSite(store, 'saaaaaaaaa'))?.id, 'saaaaaaaaa');
    assert.equal((await readSite(store, 'name-saaaaaaaaa'))?.id, 'saaaaaaaaa');
    assert.deepEqual((await readSite(store, 'saaaaaaaaa'))?.hosts, ['a.example', 'www.a.example']);
    assert.equal(await readSite(store, 'nothing'), undefined);
  });

  test('the lowest free Unix user id is given, those of deleted sites again', async ({ store }) => {
    await makePool(store);
    const take = async (id: string) => {
      const uid = await readFreeUid(store, FIRST_UID);
      await insertSite(store, row(id, uid), []);
      return uid;
    };
    assert.deepEqual([await take('sa'), await take('sb'), await take('sc')], [20_000, 20_001, 20_002]);
    await deleteSite(store, 'sb');
    assert.deepEqual([await take('sd'), await take('se')], [20_001, 20_003]);
    await deleteSite(store, 'sa');
    assert.equal(await take('sf'), 20_000);
    assert.equal((await listSites(store)).length, 4);
  });

  test('a site on its way counts on both pools, and lives on one in one statement', async ({ store }) => {
    await makePool(store);
    await store.query(
      `INSERT INTO pool (name, app, kind, image_number, wanted, max_sites, node_memory_mb, state, dedicated_to)
       VALUES ('own', 'tiny', 'dedicated', 1, 1, 1, 64, 'ready', NULL)`,
    );
    await insertSite(store, row('saaaaaaaaa', 20_000), ['a.example']);
    const counts = async () => Object.fromEntries(await countSitesByPool(store));
    await storeMoving(store, 'saaaaaaaaa', 'own', 5);
    assert.deepEqual(await counts(), { p: 1, own: 1 });
    assert.deepEqual(
      (await listSites(store, { pool: 'own' })).map(({ id }) => id),
      ['saaaaaaaaa'],
    );
    await storeHeld(store, 'saaaaaaaaa', 'edge');
    assert.deepEqual(
      [(await readSite(store, 'a'))?.held, (await readSite(store, 'saaaaaaaaa'))?.held],
      [undefined, 'edge'],
    );
    await storeHeld(store, 'saaaaaaaaa', 'closed', 6);
    assert.equal((await readSite(store, 'saaaaaaaaa'))?.configVersion, 6);
    await storeMoved(store, 'saaaaaaaaa', 'moved', 7);
    const { pool, movingTo, held, configVersion } = (await readSite(store, 'saaaaaaaaa')) ?? {};
    assert.deepEqual(
      { pool, movingTo, held, configVersion },
      { pool: 'own', movingTo: null, held: null, configVersion: 7 },
    );
    assert.deepEqual(await counts(), { own: 1 });
    await storeHoldable(store, 'saaaaaaaaa', 'hooks', true, 8);
    assert.deepEqual(
      [(await readSite(store, 'saaaaaaaaa'))?.hooksHeld, (await readSite(store, 'saaaaaaaaa'))?.mailHeld],
      [true, false],
    );
  });

  test('host names are in each other’s way when equal or one below the other, and of different sites', async ({
    store,
  }) => {
    await makePool(store);
    const isAbove = (one: string, other: string) => other.endsWith(`.${one}`);
    const anyHost = fc
      .array(fc.constantFrom('a', 'b', 'ab', 'a-b', 'x%', 'x_'), { minLength: 1, maxLength: 4 })
      .map((labels) => labels.join('.'));
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(anyHost, { maxLength: 3 }),
        fc.uniqueArray(anyHost, { minLength: 1, maxLength: 3 }),
        async (taken, given) => {
          await store.query('DELETE FROM site');
          await insertSite(store, row('sa', 20_000), taken);
          const clash = (one: string) => (other: string) => one === other || isAbove(one, other) || isAbove(other, one);
          const expected = given.some((one) => taken.some(clash(one)));
          const found = await readConflictingHost(store, given, '');
          assert.equal(found !== undefined, expected);
          if (found !== undefined) assert.ok(clash(found.given)(found.host) && taken.includes(found.host));
          // What is equal is told first.
          const equal = given.some((one) => taken.includes(one));
          assert.equal(found !== undefined && found.host === found.given, equal);
          assert.equal(await readConflictingHost(store, given, 'sa'), undefined);
        },
      ),
      { numRuns: 60 },
    );
  });
});
