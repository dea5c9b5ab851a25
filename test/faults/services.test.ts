// Database servers, cache servers, edges and images under faults: steps twice, failures and kills everywhere.
import assert from 'node:assert/strict';
import { startEdgeCreate } from '../../src/edge/create.ts';
import { listEdges, readEdgeAddress, storeEdgeState } from '../../src/edge/store.ts';
import { startBake } from '../../src/images/bake.ts';
import { startImageDelete } from '../../src/images/keep.ts';
import { startRefresh } from '../../src/images/refresh.ts';
import { startSeedBake } from '../../src/images/seed-bake.ts';
import { startSeedCreate } from '../../src/images/seed-create.ts';
import { startSeedDelete } from '../../src/images/seed-delete.ts';
import { listImages, readNewest } from '../../src/images/store.ts';
import { listServices, storeServiceState } from '../../src/services/store.ts';
import { assertConsistent } from './consistency.ts';
import { describeTrials, type Trial } from './trials.ts';
import { tester, type World } from './world.ts';

let number = 0;
const newName = (prefix: string): string => {
  number += 1;
  return `${prefix}-${number}`;
};

function serviceTrials(noun: 'database' | 'cache'): Record<string, Trial> {
  const roomOf = (world: World) => world.controller.rooms[noun === 'database' ? 'databases' : 'caches'];
  const make = async (world: World): Promise<string> => {
    const name = newName('extra');
    await world.run((sql) => roomOf(world).startCreate(sql, { name, memoryMb: 256, maxSites: 5 }, tester));
    return name;
  };
  return {
    [`the creation of a ${noun} server`]: {
      kind: `${noun}.create`,
      async prepare(world) {
        const wish = { name: newName('new'), memoryMb: 256, maxSites: 5 };
        return (sql) => roomOf(world).startCreate(sql, wish, tester);
      },
    },
    [`the healing of a ${noun} server`]: {
      kind: `${noun}.create`,
      async prepare(world) {
        const [first] = await listServices(world.store, noun);
        await world.fleet.instances.delete(first?.instance ?? '', { force: true });
        const change = { from: ['ready', 'unhealthy'], to: 'unhealthy', reason: 'its container is gone' } as const;
        await storeServiceState(world.store, noun, first?.name ?? '', change);
        const params = { name: first?.name, heal: true };
        return (sql, { platform }) => platform.operations.start(sql, `${noun}.create`, params, tester);
      },
    },
    [`the renewal of a ${noun} server`]: {
      kind: `${noun}.renew`,
      async prepare(world) {
        const [first] = await listServices(world.store, noun);
        const isOther = ({ fingerprint }: { fingerprint: string }) => fingerprint !== first?.image;
        if (!(await listImages(world.store, noun)).some(isOther))
          await world.run((sql, { rooms }) => startBake(rooms.parts.images, sql, noun, tester));
        const image = (await listImages(world.store, noun)).find(isOther)?.fingerprint ?? '';
        return (sql) => roomOf(world).startRenew(sql, { name: first?.name ?? '', image }, tester);
      },
    },
    [`the removal of a ${noun} server`]: {
      kind: `${noun}.remove`,
      async prepare(world) {
        const name = await make(world);
        return (sql) => roomOf(world).startRemove(sql, { name, deleteBackups: false }, tester);
      },
    },
  };
}

describeTrials('servers under faults', { ...serviceTrials('database'), ...serviceTrials('cache') });

describeTrials('edges under faults', {
  'the creation of an edge': {
    kind: 'edge.create',
    async prepare() {
      const name = newName('edge');
      const listen = `127.0.0.1:${9000 + number}`;
      return (sql, { rooms }) => startEdgeCreate(rooms.parts.edge, sql, { name, listen }, tester);
    },
  },
  'the healing of an edge': {
    kind: 'edge.create',
    async prepare(world) {
      await world.fleet.instances.delete('edge1', { force: true });
      await storeEdgeState(world.store, 'edge1', 'unhealthy', 'its container is gone');
      return (sql, { platform }) =>
        platform.operations.start(sql, 'edge.create', { edge: 'edge1', heal: true }, tester);
    },
  },
  'the sharing of another address': {
    kind: 'edge.share',
    async prepare(world) {
      number += 1;
      const before = (await readEdgeAddress(world.store)) ?? null;
      const wanted = { address: `192.0.2.${100 + (number % 100)}`, httpPort: 80, httpsPort: 443, routerId: 7 };
      return (sql, { platform }) => platform.operations.start(sql, 'edge.share', { wanted, before }, tester);
    },
    // The agents say who holds it.
    loop: (world) => world.beat(),
    async check(world) {
      await assertConsistent(world);
      const shared = await readEdgeAddress(world.store);
      for (const { name } of await listEdges(world.store)) {
        const door = (await world.fleet.instances.read(name))?.devices['shared-http'];
        const listens = door?.kind === 'proxy' ? door.listen : undefined;
        assert.equal(listens, shared === undefined ? undefined : `tcp:${shared.address}:80`, `the door of ${name}`);
      }
    },
  },
  'the deletion of an edge': {
    kind: 'edge.delete',
    async prepare(world) {
      // One that failed half way is deleted by the same command again.
      const half = (await listEdges(world.store)).find(({ state }) => state === 'deleting');
      const name = half?.name ?? newName('edge');
      const listen = `127.0.0.1:${9000 + number}`;
      if (half === undefined)
        await world.run((sql, { rooms }) => startEdgeCreate(rooms.parts.edge, sql, { name, listen }, tester));
      return (sql, { platform }) =>
        platform.operations.start(sql, 'edge.delete', { edge: name, server: 'local' }, tester);
    },
  },
});

/** The world's newest image of the cache servers, which nobody changed by hand. */
async function bakeCache(world: World): Promise<number> {
  const view = await world.run((sql, { rooms }) => startBake(rooms.parts.images, sql, 'cache', tester));
  if (view.state !== 'succeeded') throw new Error(`the bake ended ${view.state}: ${view.problem?.detail}`);
  return (await readNewest(world.store, 'cache'))?.number ?? 0;
}

async function makeSeed(world: World): Promise<string> {
  const name = newName('seed');
  await world.run((sql, { rooms }) => startSeedCreate(rooms.parts.images, sql, { name, app: 'cache' }, tester));
  return name;
}

const bake = (recipe: string): Trial => ({
  kind: 'image.bake',
  prepare:
    async () =>
    (sql, { rooms }) =>
      startBake(rooms.parts.images, sql, recipe, tester),
});
describeTrials('images under faults', {
  'baking a base': bake('base-trixie'),
  'baking a layer': bake('cache'),
  'the deletion of an image': {
    kind: 'image.delete',
    async prepare(world) {
      const which = { recipe: 'cache', number: await bakeCache(world) };
      return (sql, { rooms }) => startImageDelete(rooms.parts.images, sql, which, tester);
    },
  },
  'a refresh': {
    kind: 'image.refresh',
    async prepare() {
      const wish = { recipe: 'cache', leaveOutSeeds: true };
      return (sql, { rooms }) => startRefresh(rooms.parts.images, sql, wish, tester);
    },
  },
});

describeTrials('seeds under faults', {
  'making a seed': {
    kind: 'seed.create',
    async prepare() {
      const wish = { name: newName('seed'), app: 'cache' };
      return (sql, { rooms }) => startSeedCreate(rooms.parts.images, sql, wish, tester);
    },
  },
  'baking an image from a seed': {
    kind: 'seed.bake',
    async prepare(world) {
      const name = await makeSeed(world);
      return (sql, { rooms }) => startSeedBake(rooms.parts.images, sql, { name, upgrade: true }, tester);
    },
  },
  'the deletion of a seed': {
    kind: 'seed.delete',
    async prepare(world) {
      const name = await makeSeed(world);
      return (sql, { rooms }) => startSeedDelete(rooms.parts.images, sql, name, tester);
    },
  },
});
