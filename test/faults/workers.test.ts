// A pool of workers: it runs the tasks of another pool's sites, has their configuration and their uploads, and no visitor.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newPoolSchema, startPoolCreate } from '../../src/pools/create.ts';
import { startPoolDelete } from '../../src/pools/delete.ts';
import { startPoolScale } from '../../src/pools/scale.ts';
import { startRemoval } from '../../src/pools/start-nodes.ts';
import { listNodes, readPool } from '../../src/pools/store.ts';
import { listRunNodes } from '../../src/sequencer/choose.ts';
import { newSiteSchema, startSiteCreate } from '../../src/sites/admit.ts';
import { assertConsistent } from './consistency.ts';
import { tester, type World, withDeployedWorld } from './world.ts';

const makeWorkers = (world: World) =>
  world.run((sql, { rooms }) =>
    startPoolCreate(
      rooms.parts.pools,
      sql,
      newPoolSchema.parse({ name: 'heavy', app: 'wordpress', role: 'worker', size: 1 }),
      tester,
    ),
  );

async function namesOf(world: World, pool: string): Promise<string[]> {
  return (await listNodes(world.store, { pool })).map(({ name }) => name).sort();
}

/** Nodes that get runs of the pool's sites. */
async function runNodes(world: World, pool: string): Promise<string[]> {
  return [...((await listRunNodes(world.store)).get(pool)?.values() ?? [])].flat().sort();
}

void test('tasks run on the workers as soon as a pool has some, and on its own nodes before and after', () =>
  withDeployedWorld(async (world) => {
    const serving = await namesOf(world, 'wordpress');
    assert.deepEqual(await runNodes(world, 'wordpress'), serving);
    assert.equal((await makeWorkers(world)).state, 'succeeded');
    const workers = await namesOf(world, 'heavy');
    assert.equal(workers.length, 1);
    assert.deepEqual(await runNodes(world, 'wordpress'), workers);
    assert.deepEqual(await runNodes(world, 'mediawiki'), await namesOf(world, 'mediawiki'));

    // Not even when no worker is there: heavy tasks never come to where visitors are.
    await world.store.query(`UPDATE node SET state = 'unhealthy' WHERE pool = 'heavy'`);
    assert.deepEqual(await runNodes(world, 'wordpress'), []);
    await world.store.query(`UPDATE node SET state = 'ready' WHERE pool = 'heavy'`);

    const removed = await world.run((sql, { rooms }) =>
      startPoolDelete(rooms.parts.pools, sql, { name: 'heavy', deleteBackups: false }, tester),
    );
    assert.equal(removed.state, 'succeeded', removed.problem?.detail);
    assert.deepEqual(await runNodes(world, 'wordpress'), serving);
    await assertConsistent(world);
  }));

void test('workers have the sites of those that they work for, the image too, and no edge knows them', () =>
  withDeployedWorld(async (world) => {
    await makeWorkers(world);
    const [worker = ''] = await namesOf(world, 'heavy');
    const begin = (name: string, pool?: string) =>
      world.begin((sql, { rooms }) => {
        const wish = newSiteSchema.parse({ name, app: 'wordpress', hosts: [`${name}.example`], pool });
        return startSiteCreate(rooms.parts.sites, sql, wish, tester);
      });
    const { id } = await begin('later');
    assert.equal((await world.ended(id)).state, 'succeeded');
    await assert.rejects(() => begin('lost', 'heavy'), { code: 'pool.none-for-app' });
    const sites = (world.agents.applied.get(worker) ?? []).map(({ name }) => name).sort();
    assert.deepEqual(sites, ['later', 'wordpress']);
    assert.deepEqual(
      world.agents.edge?.pools.map(({ name }) => name),
      ['mediawiki', 'wordpress'],
    );
    const served = await readPool(world.store, 'wordpress');
    assert.equal((await readPool(world.store, 'heavy'))?.imageNumber, served?.imageNumber);
    const instance = await world.fleet.instances.read(worker);
    assert.deepEqual(
      Object.values(instance?.devices ?? {}).flatMap((device) => (device.kind === 'volume' ? device.volume : [])),
      ['content-wordpress'],
    );
    await assertConsistent(world);
  }));

void test('a pool has one pool of workers, cannot go before it, and that one is scaled as any other', () =>
  withDeployedWorld(async (world) => {
    await makeWorkers(world);
    const another = newPoolSchema.parse({ name: 'heavy2', role: 'worker', worksFor: 'wordpress' });
    await assert.rejects(
      world.begin((sql, { rooms }) => startPoolCreate(rooms.parts.pools, sql, another, tester)),
      { code: 'pool.has-workers' },
    );
    const scaled = await world.run((sql, { rooms }) => startPoolScale(rooms.parts.pools, sql, 'heavy', 2, tester));
    assert.equal(scaled.state, 'succeeded');
    assert.deepEqual(await runNodes(world, 'wordpress'), await namesOf(world, 'heavy'));
    assert.equal((await runNodes(world, 'wordpress')).length, 2);
    await world.store.query('DELETE FROM site');
    await assert.rejects(
      world.begin((sql, { rooms }) =>
        startPoolDelete(rooms.parts.pools, sql, { name: 'wordpress', deleteBackups: false }, tester),
      ),
      { code: 'pool.has-workers' },
    );
  }));

void test('a node that leaves waits for the runs that it has', () =>
  withDeployedWorld(async (world) => {
    const { parts } = world.controller.rooms;
    const [node] = await listNodes(world.store, { pool: 'wordpress' });
    if (node === undefined) throw new Error('the pool has no nodes');
    let runs = 1;
    const asked = Promise.withResolvers<void>();
    parts.pools.countRuns = (_, name) => {
      asked.resolve();
      return Promise.resolve(name === node.name ? runs : 0);
    };
    const { id } = await world.begin((sql, { rooms }) => startRemoval(rooms.parts.pools, sql, node, false, tester));
    await asked.promise;
    assert.equal((await world.fleet.instances.read(node.name))?.status, 'running');
    assert.equal((await world.controller.platform.operations.read(id))?.state, 'running');
    runs = 0;
    assert.equal((await world.ended(id)).state, 'succeeded');
    assert.equal(await world.fleet.instances.read(node.name), undefined);
  }));
