// Rolls under faults: steps twice, failures and kills everywhere, and after each of them every node has one image. Then
// bad images, which go back by themselves, and what is refused before anything changes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBake } from '../../src/images/bake.ts';
import { startImageDelete } from '../../src/images/keep.ts';
import { listImages } from '../../src/images/store.ts';
import type { OperationView } from '../../src/platform/operations/operation.ts';
import { newPoolSchema, startPoolCreate } from '../../src/pools/create.ts';
import { healPools } from '../../src/pools/heal.ts';
import { startReplacement } from '../../src/pools/replace-node.ts';
import { newRollSchema, planRoll, setPaused, startRoll } from '../../src/pools/roll/start.ts';
import { listNodeLogs, listRolls, readRoll, type Strategy } from '../../src/pools/roll/store.ts';
import { startPoolScale } from '../../src/pools/scale.ts';
import { listNodes, readPool, storeNodeState } from '../../src/pools/store.ts';
import { assertConsistent } from './consistency.ts';
import { describeTrials, type Trial } from './trials.ts';
import { tester, type World, withDeployedWorld } from './world.ts';

const POOL = 'wordpress';

/** A second image, alike in all but its number. */
async function bakeSecond(world: World): Promise<void> {
  if ((await listImages(world.store, POOL)).length > 1) return;
  const view = await world.run((sql, { rooms }) => startBake(rooms.parts.images, sql, POOL, tester));
  if (view.state !== 'succeeded') throw new Error(`the bake ended ${view.state}: ${view.problem?.detail}`);
}

/** Lets healing finish what a trial left. */
async function settle(world: World): Promise<void> {
  world.clock.skip(600_000);
  await world.beat();
  for (let turn = 0; turn < 2; turn += 1) {
    await healPools(world.controller.rooms.parts.pools, AbortSignal.timeout(10_000));
    await world.quiet();
  }
}

/** The image that every node of the pool has, and the pool itself says. */
async function readTheImage(world: World): Promise<number> {
  const pool = await readPool(world.store, POOL);
  const nodes = await listNodes(world.store, { pool: POOL });
  assert.equal(nodes.length, pool?.wanted, 'the pool has the nodes that it wants');
  assert.deepEqual([...new Set(nodes.map((node) => node.imageNumber))], [pool?.imageNumber], 'images of its nodes');
  return pool?.imageNumber ?? 0;
}

async function check(world: World, view: OperationView): Promise<void> {
  const { from, to } = view.params as { from: number; to: number };
  await settle(world);
  assert.equal(await readTheImage(world), view.state === 'succeeded' ? to : from);
  const roll = await readRoll(world.store, view.id);
  assert.equal(roll?.state, view.state === 'succeeded' ? 'done' : 'returned');
  await assertConsistent(world);
}

const begin = (world: World, wish: Partial<Parameters<typeof newRollSchema.parse>[0]> & object) =>
  world.begin((sql, { rooms }) =>
    startRoll(rooms.parts.pools, sql, POOL, newRollSchema.parse({ bakeTimeS: 0, ...wish }), tester),
  );

const trial = (strategy: Strategy): Trial => ({
  kind: 'pool.roll',
  namesAnew: true,
  // A node whose removal failed is removed again by healing.
  async loop(world) {
    await healPools(world.controller.rooms.parts.pools, AbortSignal.timeout(10_000));
  },
  check,
  async prepare(world) {
    await bakeSecond(world);
    await settle(world);
    const image = (await readPool(world.store, POOL))?.imageNumber === 1 ? 2 : 1;
    const wish = newRollSchema.parse({ image, strategy, bakeTimeS: 0 });
    return (sql, { rooms }) => startRoll(rooms.parts.pools, sql, POOL, wish, tester);
  },
});

describeTrials('rolls under faults', {
  'a roll with a canary': trial('canary'),
  'a rolling roll': trial('rolling'),
  'a roll with an additional batch': trial('additional-batch'),
  'an immutable roll': trial('immutable'),
});

const withTwoImages = (work: (world: World) => Promise<void>) =>
  withDeployedWorld(async (world) => {
    await bakeSecond(world);
    await work(world);
  });

void test('a bad image goes back by itself, whatever is bad about it, and the logs of its nodes are kept', () =>
  withTwoImages(async (world) => {
    const bad = {
      errors: { status: 500, durationMs: 40, errorShare: 1 },
      slow: { status: 200, durationMs: 1_400, errorShare: 0 },
      'errors that no page shows': { status: 200, durationMs: 40, errorShare: 0.2 },
    };
    for (const [what, illness] of Object.entries(bad)) {
      world.agents.ill.set('2', illness);
      const { id } = await begin(world, { image: 2, bakeTimeS: 3 });
      const view = await world.ended(id);
      await world.quiet();
      assert.equal(view.state, 'recovered', `${what}: ${view.state}`);
      await check(world, view);
      const [roll] = await listRolls(world.store, POOL);
      assert.equal(roll?.state, 'returned');
      assert.match(roll?.reason ?? '', /500|1400 ms|requests failed/, what);
    }
    assert.ok((await listNodeLogs(world.store, POOL)).length >= 3);
    world.agents.ill.clear();
    assert.equal((await world.ended((await begin(world, { image: 2 })).id)).state, 'succeeded');
  }));

void test('an image that turns bad while its canary is watched goes back, and old nodes never left', () =>
  withTwoImages(async (world) => {
    const before = (await listNodes(world.store, { pool: POOL })).map(({ name }) => name).sort();
    const { id } = await begin(world, { image: 2, bakeTimeS: 60 });
    await waitFor(world, async () => (await readRoll(world.store, id))?.reason.startsWith('watching') === true);
    world.agents.ill.set('2', { status: 500, durationMs: 40, errorShare: 0.5 });
    const view = await world.ended(id);
    assert.equal(view.state, 'recovered');
    await check(world, view);
    const after = (await listNodes(world.store, { pool: POOL })).map(({ name }) => name).sort();
    assert.deepEqual(after, before);
  }));

/** Polls the store: what it waits for is written by the roll. */
async function waitFor(world: World, isSo: () => Promise<boolean>): Promise<void> {
  for (let left = 400; left > 0; left -= 1) {
    if (await isSo()) return;
    await world.clock.wait(25, AbortSignal.timeout(5_000));
  }
  throw new Error('it never came');
}

void test('a paused roll waits before its next batch, is watched meanwhile, and goes on when it is told', () =>
  withTwoImages(async (world) => {
    const { id } = await begin(world, { image: 2, bakeTimeS: 1 });
    const { parts } = world.controller.rooms;
    await setPaused(parts.pools, POOL, true, tester);
    await waitFor(world, async () => (await readRoll(world.store, id))?.reason === 'paused by test');
    const sides = (await listNodes(world.store, { pool: POOL })).map((node) => node.imageNumber);
    assert.ok(sides.includes(1), 'old nodes serve while it is paused');
    await setPaused(parts.pools, POOL, false, tester);
    assert.equal((await world.ended(id)).state, 'succeeded');
    await assert.rejects(setPaused(parts.pools, POOL, true, tester), { code: 'pool.not-rolling' });
  }));

void test('an aborted roll gives the pool its old image back', () =>
  withTwoImages(async (world) => {
    const { id } = await begin(world, { image: 2, bakeTimeS: 60 });
    await waitFor(world, async () => (await readRoll(world.store, id))?.reason.startsWith('watching') === true);
    await world.controller.platform.operations.cancel(id, 'anna');
    const view = await world.ended(id);
    await world.quiet();
    assert.equal(view.state, 'cancelled');
    await check(world, view);
    assert.match((await readRoll(world.store, id))?.reason ?? '', /aborted by anna/);
  }));

void test('workers follow the pool that they work for, and come back with it', () =>
  withTwoImages(async (world) => {
    const wish = newPoolSchema.parse({ name: 'heavy', app: POOL, role: 'worker', size: 2 });
    await world.run((sql, { rooms }) => startPoolCreate(rooms.parts.pools, sql, wish, tester));
    const images = async () => (await listNodes(world.store, { pool: 'heavy' })).map((node) => node.imageNumber).sort();
    assert.equal((await world.ended((await begin(world, { image: 2 })).id)).state, 'succeeded');
    assert.deepEqual(await images(), [2, 2]);
    assert.equal((await readPool(world.store, 'heavy'))?.imageNumber, 2);
    world.onPoint = (point) => {
      if (point.kind === 'pool.roll' && point.step === 'workers' && point.when === 'after-do')
        throw new Error('it fails after the workers');
    };
    const { id } = await begin(world, { image: 1 });
    const view = await world.ended(id);
    world.onPoint = () => undefined;
    await world.quiet();
    assert.equal(view.state, 'recovered');
    assert.deepEqual(await images(), [2, 2]);
    await check(world, view);
    await assert.rejects(
      world.begin((sql, { rooms }) => startRoll(rooms.parts.pools, sql, 'heavy', newRollSchema.parse({}), tester)),
      { code: 'pool.roll-its-pool' },
    );
  }));

void test('what cannot be done is refused with its reason before anything changes', () =>
  withTwoImages(async (world) => {
    const refused = async (wish: Parameters<typeof begin>[1], code: string) => {
      await assert.rejects(begin(world, wish), { code });
      assert.deepEqual(await listRolls(world.store), []);
    };
    await refused({ image: 1 }, 'pool.has-image');
    await refused({ image: 7 }, 'image.gone');
    await refused({ image: 2, batch: 3 }, 'pool.too-small');
    await refused({ image: 2, batch: 2, strategy: 'rolling' }, 'pool.too-small');
    const [node] = await listNodes(world.store, { pool: POOL });
    const all = ['ready', 'draining'] as const;
    const set = (to: 'ready' | 'draining') =>
      storeNodeState(world.store, node?.name ?? '', { from: all, to, atEdge: true, reason: 'it leaves' });
    await set('draining');
    await refused({ image: 2 }, 'pool.draining');
    await set('ready');
    await world.store.query(`UPDATE server SET state = 'draining'`);
    await refused({ image: 2 }, 'pool.draining');
    await world.store.query(`UPDATE server SET state = 'ready'`);
    await world.store.query('UPDATE pool SET node_memory_mb = 90000 WHERE name = $1', [POOL]);
    await refused({ image: 2 }, 'server.no-memory');
    await world.store.query('UPDATE pool SET node_memory_mb = 512 WHERE name = $1', [POOL]);
    const plan = await planRoll(
      world.controller.rooms.parts.pools,
      world.store,
      POOL,
      newRollSchema.parse({ image: 2 }),
    );
    assert.match(plan.sentences.join(' '), /2 nodes of wordpress go from wordpress\/1 to wordpress\/2\./);
  }));

void test('while a roll is under way a second one, a replacement and a change of size are refused, naming it', () =>
  withTwoImages(async (world) => {
    const { id } = await begin(world, { image: 2, bakeTimeS: 60 });
    await waitFor(world, async () => (await readRoll(world.store, id))?.reason.startsWith('watching') === true);
    await assert.rejects(begin(world, { image: 2 }), { code: 'pool.rolling' });
    await assert.rejects(
      world.begin((sql, { rooms }) => startImageDelete(rooms.parts.images, sql, { recipe: POOL, number: 2 }, tester)),
      { code: 'image.in-use' },
    );
    const [node] = await listNodes(world.store, { pool: POOL });
    const locked = { code: 'operations.locked' };
    await assert.rejects(
      world.begin((sql, { rooms }) => startReplacement(rooms.parts.pools, sql, node?.name ?? '', tester)),
      locked,
    );
    await assert.rejects(
      world.begin((sql, { rooms }) => startPoolScale(rooms.parts.pools, sql, POOL, 3, tester)),
      locked,
    );
    await world.controller.platform.operations.cancel(id, 'test');
    await world.ended(id);
  }));

void test('an image that is gone from the engine fails the roll before any node is made', () =>
  withTwoImages(async (world) => {
    const [second] = await listImages(world.store, POOL);
    await world.fleet.images.delete(second?.fingerprint ?? '');
    const { id } = await begin(world, { image: 2 });
    const view = await world.ended(id);
    assert.equal(view.problem?.code, 'image.gone');
    assert.equal(await readTheImage(world), 1);
  }));
