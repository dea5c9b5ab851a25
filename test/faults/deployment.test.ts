// The deployment's own operations under faults, each in one run: an `up` that fails goes on where it stopped, so every
// point can be disturbed on the way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startEnd } from '../../src/deployment/stop.ts';
import { readDeployment } from '../../src/deployment/store.ts';
import { startUp } from '../../src/deployment/up.ts';
import type { OperationView } from '../../src/platform/operations/operation.ts';
import type { FaultPoint } from '../../src/platform/operations/run-operation.ts';
import { healPools } from '../../src/pools/heal.ts';
import { listNodes } from '../../src/pools/store.ts';
import { listSites } from '../../src/sites/store.ts';
import { assertConsistent } from './consistency.ts';
import { makeWorld, tester, type World, withDeployedWorld, withWorld } from './world.ts';

const COUNT_ROWS = ['site', 'hostname', 'pool', 'node', 'edge', 'database_server', 'cache_server', 'image', 'secret']
  .concat('instance_address', 'operation_lock')
  .map((table) => `SELECT '${table}' AS name, count(*) AS rows FROM ${table}`)
  .join(' UNION ALL ');

const up = (world: World) => startUp(world.controller.rooms.parts.deployment, 8080, tester);
const end = (world: World, kind: 'deployment.stop' | 'deployment.destroy') =>
  startEnd(world.controller.rooms.parts.deployment, kind, tester);

/** Begins it again and again until it has not been disturbed any more: each point of its own once. Gives how often it failed. */
async function persist(
  world: World,
  kind: string,
  how: 'kill' | 'fail',
  begin: () => Promise<{ id: string }>,
): Promise<{ view: OperationView; disturbed: number; begun: number }> {
  const known = new Set<string>();
  world.onPoint = (point: FaultPoint) => {
    const place = `${point.when} of ${point.step}`;
    if (point.kind !== kind || known.has(place)) return;
    known.add(place);
    if (how === 'kill') world.crash();
    throw new Error(`the test made it ${how} at ${place}`);
  };
  for (let begun = 1; ; begun += 1) {
    const before = known.size;
    const { id } = await begin();
    const view = await world.ended(id);
    await world.quiet();
    if (how === 'kill' || known.size === before) return { view, disturbed: known.size, begun };
  }
}

for (const how of ['kill', 'fail'] as const) {
  void test(`a deployment comes up although its controller ${how === 'kill' ? 'is killed' : 'fails'} at every point`, async () => {
    await withWorld(makeWorld, async (world) => {
      const outcome = await persist(world, 'deployment.up', how, () => up(world));
      assert.equal(outcome.view.state, 'succeeded', outcome.view.problem?.detail);
      assert.equal(outcome.disturbed, 2 * outcome.view.steps.length);
      await assertConsistent(world);
      assert.equal((await listNodes(world.store)).length, 4, 'two pools of two nodes');
      assert.deepEqual(
        (await listSites(world.store)).map(({ name, state }) => `${name} ${state}`),
        ['mediawiki ready', 'wordpress ready'],
      );
    });
  });
}

void test('a deployment stops, comes back with everything, and goes, killed and failed at every point', () =>
  withDeployedWorld(async (world) => {
    const stopped = () => world.fleet.instances.list().then((all) => all.filter(({ status }) => status === 'stopped'));
    for (const how of ['kill', 'fail'] as const) {
      const before = await listNodes(world.store);
      const down = await persist(world, 'deployment.stop', how, () => end(world, 'deployment.stop'));
      assert.equal(down.view.state, 'succeeded', down.view.problem?.detail);
      assert.equal((await stopped()).length, (await world.fleet.instances.list()).length);
      await assertConsistent(world);
      world.clock.skip(60_000);
      for (let beat = 0; beat < 3; beat += 1) {
        await world.beat();
        world.clock.skip(10_000);
      }
      const again = await persist(world, 'deployment.up', how, () => up(world));
      assert.equal(again.view.state, 'succeeded', again.view.problem?.detail);
      assert.deepEqual(await stopped(), []);
      await healPools(world.controller.rooms.parts.pools, AbortSignal.timeout(10_000));
      await world.quiet();
      await assertConsistent(world);
      assert.deepEqual(
        (await listNodes(world.store)).map(({ name }) => name),
        before.map(({ name }) => name),
        'the nodes are the same',
      );
    }
    for (const how of ['kill', 'fail'] as const) {
      const gone = await persist(world, 'deployment.destroy', how, () => end(world, 'deployment.destroy'));
      assert.equal(gone.view.state, 'succeeded', gone.view.problem?.detail);
      assert.equal(await world.fleet.usage(), undefined);
      assert.deepEqual(world.machine, { projects: {}, networks: {}, storagePools: {} });
      const rows = await world.store.query<{ name: string; rows: number }>(COUNT_ROWS);
      assert.deepEqual(
        rows.filter((table) => table.rows > 0),
        [],
      );
      assert.deepEqual(await readDeployment(world.store), { wanted: 'down', httpPort: null, greeted: false });
    }
  }));
