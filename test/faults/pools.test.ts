// Every operation of pools and nodes under faults: steps twice, failures and kills everywhere.
import assert from 'node:assert/strict';
import type { OperationView } from '../../src/platform/operations/operation.ts';
import { newPoolSchema, startPoolCreate } from '../../src/pools/create.ts';
import { startPoolDelete } from '../../src/pools/delete.ts';
import { healPools } from '../../src/pools/heal.ts';
import { startReplacement } from '../../src/pools/replace-node.ts';
import { startPoolScale } from '../../src/pools/scale.ts';
import { startNode, startRemoval } from '../../src/pools/start-nodes.ts';
import { listNodes, listPools, readPool } from '../../src/pools/store.ts';
import { assertConsistent } from './consistency.ts';
import { describeTrials } from './trials.ts';
import { tester, type World } from './world.ts';

const POOL = 'wordpress';

async function heal(world: World): Promise<void> {
  await healPools(world.controller.rooms.parts.pools, AbortSignal.timeout(10_000));
}

/** Lets the healing finish what a trial left, then gives the pool this size. */
async function bring(world: World, size: number): Promise<void> {
  // Healing waits after a failure.
  world.clock.skip(600_000);
  await world.beat();
  for (let turn = 0; turn < 2; turn += 1) {
    await heal(world);
    await world.quiet();
  }
  if ((await readPool(world.store, POOL))?.wanted === size) return;
  await world.run((sql, { rooms }) => startPoolScale(rooms.parts.pools, sql, POOL, size, tester));
}

let number = 0;
async function makePool(world: World): Promise<string> {
  const name = newName();
  await world.run((sql, { rooms }) => startPoolCreate(rooms.parts.pools, sql, wish(name), tester));
  return name;
}
const newName = () => {
  number += 1;
  return `pool-${number}`;
};
/** Workers of the pool; those of the trial before leave first. */
const workers = (name: string) => newPoolSchema.parse({ name, role: 'worker', worksFor: POOL, size: 1 });
async function removeWorkers(world: World): Promise<void> {
  const found = (await listPools(world.store)).find(({ worksFor }) => worksFor === POOL);
  if (found === undefined) return;
  world.clock.skip(600_000);
  await heal(world);
  await world.quiet();
  await world.run((sql, { rooms }) =>
    startPoolDelete(rooms.parts.pools, sql, { name: found.name, deleteBackups: false }, tester),
  );
}
/** Whole again with the size that it had, or to be deleted again: either works. */
async function assertDeletable(world: World, view: OperationView, size: number): Promise<void> {
  await assertConsistent(world);
  const { pool: name } = view.params as { pool: string };
  const pool = await readPool(world.store, name);
  if (pool?.state === 'ready') assert.equal(pool.wanted, size);
  if (pool === undefined || view.state === 'succeeded') return;
  await heal(world);
  await world.quiet();
  const again = await world.run((sql, { rooms }) =>
    startPoolDelete(rooms.parts.pools, sql, { name, deleteBackups: false }, tester),
  );
  assert.equal(again.state, 'succeeded', again.problem?.detail);
}
const wish = (name: string) => newPoolSchema.parse({ name, app: 'wordpress', size: 1 });

describeTrials('pools under faults', {
  'making a node': {
    kind: 'node.create',
    async prepare(world) {
      await bring(world, 2);
      return async (sql, { rooms }) => startNode(rooms.parts.pools, sql, { pool: POOL, imageNumber: 1 }, tester);
    },
  },
  'the removal of a node': {
    kind: 'node.remove',
    async prepare(world) {
      await bring(world, 2);
      const [node] = await listNodes(world.store, { pool: POOL });
      if (node === undefined) throw new Error('the pool has no nodes');
      return async (sql, { rooms }) => startRemoval(rooms.parts.pools, sql, node, false, tester);
    },
  },
  'the replacement of a node': {
    kind: 'node.replace',
    async prepare(world) {
      await bring(world, 2);
      const [node] = await listNodes(world.store, { pool: POOL });
      if (node === undefined) throw new Error('the pool has no nodes');
      return async (sql, { rooms }) => startReplacement(rooms.parts.pools, sql, node.name, tester);
    },
  },
  'growing a pool': {
    kind: 'pool.scale',
    async prepare(world) {
      await bring(world, 1);
      return (sql, { rooms }) => startPoolScale(rooms.parts.pools, sql, POOL, 2, tester);
    },
  },
  'shrinking a pool': {
    kind: 'pool.scale',
    loop: heal,
    async prepare(world) {
      await bring(world, 2);
      return (sql, { rooms }) => startPoolScale(rooms.parts.pools, sql, POOL, 1, tester);
    },
  },
  'the creation of a pool': {
    kind: 'pool.create',
    async prepare(_world) {
      const name = newName();
      return (sql, { rooms }) => startPoolCreate(rooms.parts.pools, sql, wish(name), tester);
    },
  },
  'the creation of workers': {
    kind: 'pool.create',
    async prepare(world) {
      await removeWorkers(world);
      const name = newName();
      return (sql, { rooms }) => startPoolCreate(rooms.parts.pools, sql, workers(name), tester);
    },
  },
  'the deletion of workers': {
    kind: 'pool.delete',
    async prepare(world) {
      await removeWorkers(world);
      const name = newName();
      await world.run((sql, { rooms }) => startPoolCreate(rooms.parts.pools, sql, workers(name), tester));
      return (sql, { rooms }) => startPoolDelete(rooms.parts.pools, sql, { name, deleteBackups: false }, tester);
    },
  },
  'the deletion of a pool': {
    kind: 'pool.delete',
    check: (world, view) => assertDeletable(world, view, 1),
    async prepare(world) {
      const name = await makePool(world);
      return (sql, { rooms }) => startPoolDelete(rooms.parts.pools, sql, { name, deleteBackups: false }, tester);
    },
  },
  'the deletion of a pool that has given up its last node': {
    kind: 'pool.delete',
    check: (world, view) => assertDeletable(world, view, 0),
    async prepare(world) {
      const name = await makePool(world);
      await world.run((sql, { rooms }) => startPoolScale(rooms.parts.pools, sql, name, 0, tester));
      assert.deepEqual(await listNodes(world.store, { pool: name }), []);
      return (sql, { rooms }) => startPoolDelete(rooms.parts.pools, sql, { name, deleteBackups: false }, tester);
    },
  },
});
