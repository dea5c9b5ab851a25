// A place of its own in Incus with a store, operations and the baked images of database and cache servers: what the
// system tests of both stand on. Apart so that the tests read as what they test.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listRecipes, readBase, readLayer } from '../../src/apps/read-recipe.ts';
import { type Caches, makeCaches } from '../../src/caches/caches.ts';
import { connectValkey } from '../../src/caches/kind.ts';
import { type Databases, makeDatabases } from '../../src/databases/databases.ts';
import { connectMariadb } from '../../src/databases/kind.ts';
import type { Fleet } from '../../src/engines/fleet.ts';
import { makeIncusFleet } from '../../src/engines/incus/fleet.ts';
import { makeImageBake, startBake } from '../../src/images/bake.ts';
import { readNewest } from '../../src/images/store.ts';
import { makeSystemClock } from '../../src/lib/clock.ts';
import { Problem } from '../../src/lib/errors.ts';
import { makeSilentLogger } from '../../src/lib/log.ts';
import { makeEvents } from '../../src/platform/events.ts';
import { runMigrations } from '../../src/platform/migrate.ts';
import { openStore } from '../../src/platform/open-store.ts';
import type { Operation, OperationView } from '../../src/platform/operations/operation.ts';
import { makeOperations } from '../../src/platform/operations/operations.ts';
import { openSecrets } from '../../src/platform/secrets.ts';
import type { Sql, Store } from '../../src/platform/store.ts';
import { storeHeartbeats, storeServer } from '../../src/servers/store.ts';
import { holdPlace } from './hold-place.ts';

export interface DataPlace {
  fleet: Fleet;
  store: Store;
  databases: Databases;
  caches: Caches;
  /** How many sites the rooms above say live on each server; tests change it. */
  sites: Map<string, number>;
  cidr: string;
  /** Begins an operation and waits for its end, whichever it is. */
  run(begin: (sql: Sql) => Promise<Operation>): Promise<OperationView>;
  /** As `run`; throws the operation's problem unless it succeeded. */
  succeed(begin: (sql: Sql) => Promise<Operation>): Promise<OperationView>;
  /** Waits for the end of the newest operation that has this lock. */
  settle(lock: string): Promise<OperationView>;
  close(): Promise<void>;
}

export const WHO = { by: 'test' };
const name = 'esp-test-data';
const root = join(import.meta.dirname, '../..');
const gigabyte = 2 ** 30;

/** Makes the place anew: what an earlier, killed run left behind is removed first. */
export async function makeDataPlace(): Promise<DataPlace> {
  const scratchDir = await mkdtemp(join(tmpdir(), 'espalier-data-'));
  const fleet = makeIncusFleet({ place: { project: name, network: name, storagePool: name } });
  await holdPlace(name);
  await fleet.tearDown();
  const { cidr } = await fleet.setUp({ driver: 'btrfs', sizeGib: 8, cidr: '10.87.105.1/24' });
  const clock = makeSystemClock();
  const log = makeSilentLogger();
  const store = await openStore();
  await runMigrations(store);
  const events = makeEvents({ store, clock });
  const secrets = await openSecrets({ store, keyFile: join(scratchDir, 'key') });
  const operations = makeOperations({ store, events, clock, log });

  const { recipes } = await listRecipes([join(root, 'apps'), join(root, 'services')]);
  const shelf = {
    base: await readBase(join(root, 'apps/base')),
    node: await readLayer(join(root, 'apps/node')),
    recipes,
  };
  const images = {
    store,
    operations,
    events,
    fleet,
    shelf,
    scratchDir,
    environment: {},
    findSite: async () => undefined,
    readStaged: async () => undefined,
    listUses: async () => [],
  };
  operations.register(makeImageBake(images));

  const sites = new Map<string, number>();
  const readImage = async (recipe: string) => (await readNewest(store, recipe))?.fingerprint ?? '';
  const common = {
    store,
    operations,
    events,
    secrets,
    fleet,
    clock,
    readCidr: async () => cidr,
    countSites: async () => sites,
  };
  const databases = makeDatabases({
    ...common,
    readServiceImage: () => readImage('database'),
    makeEngine: connectMariadb(fleet),
  });
  const caches = makeCaches({ ...common, readServiceImage: () => readImage('cache'), makeEngine: connectValkey() });
  await operations.driver.start();

  const [server] = await fleet.servers();
  if (server === undefined) throw new Error('Incus has no server');
  const load = {
    ...{ cores: 2, load1: 0, cpuPressure: 0, memoryPressure: 0, ioPressure: 0, clockMs: 0 },
    ...{ memoryTotalBytes: 8 * gigabyte, memoryAvailableBytes: 8 * gigabyte },
    ...{ diskTotalBytes: 8 * gigabyte, diskFreeBytes: 8 * gigabyte },
  };
  await storeServer(store, { name: server.name, state: 'ready', reason: 'test', address: '', version: '0' });
  await storeHeartbeats(store, [{ server: server.name, load }]);

  const wait = (id: string) => operations.wait(id, AbortSignal.timeout(900_000));
  const place: DataPlace = {
    ...{ fleet, store, databases, caches, sites, cidr },
    run: async (begin) => wait((await store.transaction(begin)).id),
    async succeed(begin) {
      const ended = await place.run(begin);
      if (ended.problem !== null) throw new Problem(ended.problem);
      return ended;
    },
    async settle(lock) {
      const [newest] = (await operations.list({ lock, limit: 1 })).items;
      if (newest === undefined) throw new Error(`no operation had the lock ${lock}`);
      return wait(newest.id);
    },
    async close() {
      await operations.driver.stop();
      await Promise.all([databases.close(), caches.close()]);
      await store.close();
      await fleet.tearDown();
      await fleet.close();
      await rm(scratchDir, { recursive: true, force: true });
    },
  };
  await place.succeed((sql) => startBake(images, sql, 'base-trixie', WHO));
  await Promise.all(['database', 'cache'].map((recipe) => place.succeed((sql) => startBake(images, sql, recipe, WHO))));
  return place;
}
