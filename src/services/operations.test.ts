// Servers made, healed, renewed, removed and watched, over the simulated fleet and engines: every step twice, failures
// and kills at every point, and after each the volumes, containers, addresses and secrets that the store says.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { makeDatabases } from '../databases/databases.ts';
import { mariadbProblems } from '../engines/mariadb/problems.ts';
import { makeSimulatedDatabase, type SimulatedDatabase } from '../engines/simulated/database.ts';
import { makeSimulatedFleet } from '../engines/simulated/fleet.ts';
import { makeSystemClock } from '../lib/clock.ts';
import { makeEvents } from '../platform/events.ts';
import type { Operation, Operations } from '../platform/operations/operation.ts';
import {
  assertStepsMayRunTwice,
  assertSurvivesFaults,
  makeQuickOperations,
  type Trial,
} from '../platform/operations/test-helpers.ts';
import { openSecrets } from '../platform/secrets.ts';
import type { Sql, Store } from '../platform/store.ts';
import { type StoreCase, withStores } from '../platform/test-store.ts';
import { storeHeartbeats, storeServer } from '../servers/store.ts';
import { listServices, readService, storeServiceState } from './store.ts';

const who = { by: 'test' };
const cidr = '10.99.0.1/24';
const gigabyte = 2 ** 30;
const scratch = await mkdtemp(join(tmpdir(), 'espalier-services-'));
after(() => rm(scratch, { recursive: true }));

/** A fleet with two images, a server that has joined, and the databases room over them. */
async function makeWorld(store: Store) {
  const clock = makeSystemClock();
  const fleet = makeSimulatedFleet({ place: { project: 'test', network: 'test', storagePool: 'test' } });
  await fleet.setUp({ driver: 'btrfs', cidr });
  const images: string[] = [];
  for (const words of ['old', 'new']) {
    const path = join(scratch, words);
    await writeFile(path, words);
    images.push((await fleet.images.import({ unified: path }, { labels: { kind: 'image' } })).fingerprint);
  }
  const [old = '', renewed = ''] = images;
  const load = {
    ...{ cores: 2, load1: 0, cpuPressure: 0, memoryPressure: 0, ioPressure: 0, clockMs: 0 },
    ...{ memoryTotalBytes: 8 * gigabyte, memoryAvailableBytes: 8 * gigabyte },
    ...{ diskTotalBytes: 8 * gigabyte, diskFreeBytes: 8 * gigabyte },
  };
  await storeServer(store, { name: 'local', state: 'ready', reason: 'test', address: '', version: '0' });
  await storeHeartbeats(store, [{ server: 'local', load }]);
  const secrets = await openSecrets({ store, keyFile: join(scratch, `key-${crypto.randomUUID()}`) });
  const engines = new Map<string, SimulatedDatabase>();
  const engineOf = (instance: string): SimulatedDatabase => {
    const engine = engines.get(instance) ?? makeSimulatedDatabase({ server: instance });
    engines.set(instance, engine);
    return engine;
  };
  const sites = new Map<string, number>();
  const makeRoom = (operations: Operations) =>
    makeDatabases({
      ...{ store, operations, secrets, fleet, clock },
      events: makeEvents({ store, clock }),
      readCidr: async () => cidr,
      readServiceImage: async () => old,
      countSites: async () => sites,
      makeEngine: ({ instance }) => engineOf(instance),
    });

  /** What exists outside the store for each server is what its row says, and nothing else. */
  async function check(): Promise<void> {
    const rows = await listServices(store, 'database');
    const whole = rows.filter((row) => row.state !== 'deleting');
    const volumes = (await fleet.volumes.list()).map((volume) => volume.name).sort();
    const expected = whole.flatMap((row) => [`${row.instance}-backups`, `${row.instance}-data`]).sort();
    assert.deepEqual(volumes, expected);
    const names = (await fleet.instances.list()).map((instance) => instance.name);
    assert.ok(names.every((name) => whole.some((row) => row.instance === name)));
    for (const row of rows.filter((one) => one.state === 'ready')) {
      const instance = await fleet.instances.read(row.instance);
      assert.equal(instance?.status, 'running');
      assert.equal(instance.image, row.image);
      assert.deepEqual(instance.devices.eth0, { kind: 'nic', ipv4Address: row.address });
    }
    const held = await store.query<{ instance: string }>('SELECT instance FROM instance_address');
    assert.deepEqual(held.map((one) => one.instance).sort(), rows.map((row) => row.instance).sort());
    const kept = Object.keys(await secrets.readAll(store, 'database/')).sort();
    assert.ok(kept.every((name) => rows.some((row) => name === `database/${row.name}/admin-password`)));
  }

  /** Gives `work` the room with a driver at work, which is stopped in any case. */
  async function withDriver<T>(work: (room: ReturnType<typeof makeRoom>, operations: Operations) => Promise<T>) {
    const operations = makeQuickOperations(store);
    const room = makeRoom(operations);
    await operations.driver.start();
    try {
      return await work(room, operations);
    } finally {
      await operations.driver.stop();
      await room.close();
    }
  }

  /** Runs one operation to its end, without faults. */
  const run = (begin: (room: ReturnType<typeof makeRoom>, sql: Sql) => Promise<Operation>) =>
    withDriver(async (room, operations) => {
      const { id } = await store.transaction((sql) => begin(room, sql));
      return operations.wait(id, AbortSignal.timeout(10_000));
    });

  /** A server that is ready, in the store and in the fleet. */
  async function makeReady(name: string): Promise<void> {
    const { state } = await run((room, sql) => room.startCreate(sql, { name, memoryMb: 512, maxSites: 3 }, who));
    assert.equal(state, 'succeeded');
  }

  const register = (operations: Operations) => void makeRoom(operations);
  const trial = (kind: string, params: unknown): Trial => ({ store, register, kind, params, check });
  return { fleet, store, secrets, sites, old, renewed, engineOf, withDriver, makeReady, run, check, trial };
}

/** Empties what trials share, so that each world stands alone. */
async function forget(store: Store): Promise<void> {
  for (const table of ['operation_lock', 'database_server', 'instance_address', 'secret']) {
    await store.query(`DELETE FROM ${table}`);
  }
}

/** Makes a trial's world, with what it needs prepared. */
const setUpWith =
  (given: StoreCase, prepare: (world: Awaited<ReturnType<typeof makeWorld>>) => Promise<Trial>) => async () => {
    await forget(given.store);
    return prepare(await makeWorld(given.store));
  };

/** The row that startCreate stores together with the operation. */
const insertRow = (store: Store) =>
  store.query(
    `INSERT INTO database_server (name, instance, max_sites, memory_mb, state, reason)
     VALUES ('db1', 'database-db1', 3, 512, 'creating', 'test')`,
  );

withStores((test) => {
  const trials = {
    'database.create': (given: StoreCase) =>
      setUpWith(given, async (world) => {
        await insertRow(given.store);
        return world.trial('database.create', { name: 'db1', heal: false });
      }),
    'database.create as a healing': (given: StoreCase) =>
      setUpWith(given, async (world) => {
        await world.makeReady('db1');
        await world.fleet.instances.delete('database-db1', { force: true });
        const change = { from: ['ready'], to: 'unhealthy', reason: 'its container is gone' } as const;
        await storeServiceState(given.store, 'database', 'db1', change);
        return world.trial('database.create', { name: 'db1', heal: true });
      }),
    'database.renew': (given: StoreCase) =>
      setUpWith(given, async (world) => {
        await world.makeReady('db1');
        return world.trial('database.renew', { name: 'db1', from: world.old, to: world.renewed });
      }),
    'database.remove': (given: StoreCase) =>
      setUpWith(given, async (world) => {
        await world.makeReady('db1');
        return world.trial('database.remove', { name: 'db1', deleteBackups: false });
      }),
  };
  for (const [title, setUp] of Object.entries(trials)) {
    test(`every step of ${title} may run twice`, (given) => assertStepsMayRunTwice(setUp(given)));
    test(`${title} survives failures and kills at every point`, async (given) => {
      assert.ok((await assertSurvivesFaults(setUp(given))) > 4);
    });
  }

  test('a created server gets its identity and the controller’s account before its first start', async ({ store }) => {
    const { makeReady, fleet, check } = await makeWorld(store);
    await makeReady('db1');
    const read = async (path: string) => Buffer.from(await fleet.files.read('database-db1', path)).toString();
    assert.match(await read('/etc/espalier-service.cnf'), /server_id = \d+\ngtid_domain_id = \d+\n/);
    const bootstrap = await read('/etc/espalier-bootstrap.sql');
    assert.match(bootstrap, /'espalier'@'10\.99\.0\.1' IDENTIFIED BY PASSWORD '\*[0-9A-F]{40}'/);
    await check();
  });

  test('names are given in order, and a taken one is refused', async ({ store }) => {
    const { run } = await makeWorld(store);
    const wish = { memoryMb: 512, maxSites: 3 };
    await run((room, sql) => room.startCreate(sql, wish, who));
    await run((room, sql) => room.startCreate(sql, wish, who));
    assert.deepEqual(
      (await listServices(store, 'database')).map((row) => row.name),
      ['db1', 'db2'],
    );
    const again = run((room, sql) => room.startCreate(sql, { ...wish, name: 'db1' }, who));
    await assert.rejects(again, { code: 'database.taken' });
  });

  test('a volume that another operation made is neither taken nor removed', async ({ store }) => {
    const { run, fleet } = await makeWorld(store);
    await fleet.volumes.create({ name: 'database-db1-data', labels: { kind: 'database', operation: 'other' } });
    const ended = await run((room, sql) => room.startCreate(sql, { name: 'db1', memoryMb: 512, maxSites: 3 }, who));
    assert.deepEqual([ended.state, ended.problem?.code], ['recovered', 'database.volume-exists']);
    assert.deepEqual(
      (await fleet.volumes.list()).map((volume) => volume.name),
      ['database-db1-data'],
    );
    assert.equal(await readService(store, 'database', 'db1'), undefined);
  });

  test('a server with sites or backups is not removed', async ({ store }) => {
    const { makeReady, run, sites, check } = await makeWorld(store);
    await makeReady('db1');
    sites.set('db1', 2);
    const wish = { name: 'db1', deleteBackups: true };
    await assert.rejects(
      run((room, sql) => room.startRemove(sql, wish, who)),
      { code: 'database.in-use' },
    );
    sites.clear();
    await check();
    assert.equal((await run((room, sql) => room.startRemove(sql, wish, who))).state, 'succeeded');
    await check();
    assert.equal(await readService(store, 'database', 'db1'), undefined);
  });

  test('the watch brings a stopped, a gone and a shut-out server back, and says why', async ({ store }) => {
    const { makeReady, fleet, engineOf, withDriver, check } = await makeWorld(store);
    await makeReady('db1');
    await withDriver(async (room, operations) => {
      const look = async () => {
        const status = (await room.watch.runOnce(AbortSignal.timeout(5_000))) as Record<string, string>;
        const [newest] = (await operations.list({ lock: 'database:db1', limit: 1 })).items;
        if (newest !== undefined) await operations.wait(newest.id, AbortSignal.timeout(5_000));
        return status.db1 ?? '';
      };
      assert.match(await look(), /^ready: it answers; 0 of 150 connections/);
      await fleet.instances.stop('database-db1', { force: true });
      assert.equal(await look(), 'unhealthy: its container is stopped');
      assert.equal((await fleet.instances.read('database-db1'))?.status, 'running');
      await fleet.instances.delete('database-db1', { force: true });
      assert.equal(await look(), 'unhealthy: its container is gone');
      assert.match(await look(), /^ready/);
      engineOf('database-db1').faults.failNext('checkHealth', mariadbProblems.make('access-denied', { server: 'db1' }));
      assert.match(await look(), /^unhealthy: .*refuses the controller's account/);
      assert.match(await look(), /^ready/);
    });
    await check();
  });

  test('a server that does not answer is unhealthy and left to itself; one without its data is not made empty', async ({
    store,
  }) => {
    const { makeReady, fleet, engineOf, withDriver } = await makeWorld(store);
    await makeReady('db1');
    await withDriver(async (room, operations) => {
      const look = async () =>
        ((await room.watch.runOnce(AbortSignal.timeout(5_000))) as Record<string, string>).db1 ?? '';
      const newest = async () => (await operations.list({ lock: 'database:db1', limit: 1 })).items[0];
      const away = () => mariadbProblems.make('away', { server: 'db1', why: 'it was told to be' });
      engineOf('database-db1').faults.setAway(away);
      assert.match(await look(), /^unhealthy: .*it was told to be/);
      assert.equal((await newest())?.title, 'Create the database server db1');
      await fleet.instances.delete('database-db1', { force: true });
      await fleet.volumes.delete('database-db1-data');
      await look();
      const healing = await newest();
      const ended = await operations.wait(healing?.id ?? '', AbortSignal.timeout(5_000));
      assert.deepEqual([ended.state, ended.problem?.code], ['failed', 'database.data-gone']);
      assert.equal(await fleet.instances.read('database-db1'), undefined);
      await look();
      assert.equal((await newest())?.id, healing?.id, 'it is not begun again at once');
    });
  });

  test('a state is changed only from where it may be, and tells whether it was another', async ({ store }) => {
    await insertRow(store);
    const change = { from: ['creating'], to: 'ready', reason: 'it answers', health: { version: '1' } } as const;
    assert.equal(await storeServiceState(store, 'database', 'db1', change), true);
    assert.equal(await storeServiceState(store, 'database', 'db1', change), false);
    const again = { from: ['ready'], to: 'ready', reason: 'still' } as const;
    assert.equal(await storeServiceState(store, 'database', 'db1', again), false);
    const row = await readService(store, 'database', 'db1');
    assert.deepEqual([row?.state, row?.reason, row?.health], ['ready', 'still', { version: '1' }]);
  });
});
