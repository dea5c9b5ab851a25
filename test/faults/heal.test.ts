// What dies is made anew by the loops, and what it was made from is gone: nodes, the edge, database and cache servers.
import assert from 'node:assert/strict';
import { after, before, describe, it, test } from 'node:test';
import { listEdges } from '../../src/edge/store.ts';
import { incusProblems } from '../../src/engines/incus/problems.ts';
import { healPools } from '../../src/pools/heal.ts';
import { startRemoval } from '../../src/pools/start-nodes.ts';
import { listNodes, type NodeRow } from '../../src/pools/store.ts';
import { listServices } from '../../src/services/store.ts';
import { assertConsistent } from './consistency.ts';
import { makeDeployedWorld, tester, type World, withDeployedWorld } from './world.ts';

const POOL = 'wordpress';
/** More than a node may be silent, and than a deployment that has just come up may take to boot. */
const SILENT_MS = 40_000;
const soon = () => AbortSignal.timeout(10_000);

void describe('what dies is made anew', () => {
  let world: World;
  before(async () => {
    world = await makeDeployedWorld();
    world.clock.skip(SILENT_MS);
    world.controller.platform.loops.start();
  });
  after(async () => {
    await world.controller.platform.loops.stop();
    await world.close();
  });

  const readNodes = () => listNodes(world.store, { pool: POOL });
  const at = (nodes: readonly NodeRow[]): NodeRow => nodes[0] ?? assert.fail('the pool has no nodes');

  /** Waits for the next event of this kind about this thing; `act` brings it about. */
  async function until(kind: string, subject: string | undefined, act: () => Promise<void>): Promise<void> {
    const { events } = world.controller.platform;
    const since = await events.readLastId();
    await act();
    const filter = { kind, after: since, signal: soon() };
    for await (const event of events.watch(filter)) if (subject === undefined || event.subject === subject) return;
    assert.fail(`no ${kind} of ${subject}`);
  }

  /** Agents notice that a node is silent, and for how long. */
  async function notice(): Promise<void> {
    await world.beat();
    world.clock.skip(SILENT_MS);
    await world.beat();
  }

  for (const how of ['ends by itself', 'is deleted by hand'] as const) {
    void it(`a node whose container ${how} is replaced, and gone from store, fleet and edge`, async () => {
      const before = await readNodes();
      const victim = at(before);
      await until('node.removed', `node:${victim.name}`, async () => {
        if (how === 'ends by itself') world.fleet.crash(victim.name);
        else await world.fleet.instances.delete(victim.name, { force: true });
        await notice();
      });
      await world.quiet();
      const now = await readNodes();
      assert.deepEqual(
        now.map(({ state }) => state),
        ['ready', 'ready'],
      );
      assert.ok(now.some(({ name }) => before.every((one) => one.name !== name)));
      assert.equal(await world.fleet.instances.read(victim.name), undefined);
      const atEdge = world.agents.edge?.pools.find(({ name }) => name === POOL)?.servers.map(({ name }) => name);
      assert.deepEqual(atEdge?.sort(), now.map(({ name }) => name).sort());
      await assertConsistent(world);
    });
  }

  void it('a node that answers again in time is kept', async () => {
    const names = (await readNodes()).map(({ name }) => name);
    const [victim = ''] = names;
    world.fleet.crash(victim);
    await world.beat();
    await world.fleet.instances.start(victim);
    await notice();
    const { loops } = world.controller.platform;
    const ran = loops.ran('pools.heal', soon());
    loops.wake('pools.heal');
    await ran;
    assert.deepEqual(
      (await readNodes()).map(({ name }) => name),
      names,
    );
  });

  void it('a removal that failed half way is taken up again', async () => {
    const victim = at(await readNodes());
    const refused = incusProblems.make('refused', { what: 'the container', why: 'the test refused it' });
    world.fleet.faults.failNext('instances.delete', refused);
    await until('node.removed', `node:${victim.name}`, async () => {
      const { state } = await world.run((sql, { rooms }) =>
        startRemoval(rooms.parts.pools, sql, victim, false, tester),
      );
      assert.equal(state, 'failed');
      world.controller.platform.loops.wake('pools.heal');
    });
    await world.quiet();
    await assertConsistent(world);
  });

  for (const noun of ['database', 'cache'] as const) {
    for (const how of ['stopped', 'gone'] as const) {
      void it(`a ${noun} server whose container is ${how} comes back with its data`, async () => {
        const [server] = await listServices(world.store, noun);
        const instance = server?.instance ?? '';
        const volumes = (await world.fleet.volumes.list({ labels: { kind: noun } })).map(({ name, createdAt }) => ({
          name,
          createdAt,
        }));
        await until(`${noun}.ready`, `${noun}:${server?.name}`, async () => {
          if (how === 'stopped') world.fleet.crash(instance);
          else await world.fleet.instances.delete(instance, { force: true });
          world.controller.platform.loops.wake(`${noun}.watch`);
        });
        await world.quiet();
        assert.equal((await world.fleet.instances.read(instance))?.status, 'running');
        const now = await world.fleet.volumes.list({ labels: { kind: noun } });
        assert.deepEqual(
          now.map(({ name, createdAt }) => ({ name, createdAt })),
          volumes,
        );
        await assertConsistent(world);
      });
    }
  }

  for (const how of ['stopped', 'gone'] as const) {
    void it(`an edge whose container is ${how} comes back`, async () => {
      await until('edge.ready', 'edge:edge1', async () => {
        if (how === 'stopped') world.fleet.crash('edge1');
        else await world.fleet.instances.delete('edge1', { force: true });
        world.controller.platform.loops.wake('edges.heal');
      });
      await world.quiet();
      assert.deepEqual(
        (await listEdges(world.store)).map(({ state }) => state),
        ['ready'],
      );
      await assertConsistent(world);
    });
  }
});

void test('a node that could not be made is tried again, later each time', () =>
  withDeployedWorld(async (world) => {
    const { pools } = world.controller.rooms.parts;
    const heal = async () => {
      const began = (await healPools(pools, soon()))[POOL] ?? 'nothing';
      await world.quiet();
      return began;
    };
    const [victim] = await listNodes(world.store, { pool: POOL });
    if (victim === undefined) assert.fail('the pool has no nodes');
    await world.run((sql) => startRemoval(pools, sql, victim, true, tester));
    const broken = incusProblems.make('refused', { what: 'the container', why: 'the test broke it' });
    world.fleet.faults.failNext('instances.ensure', broken, { times: 2 });
    assert.equal(await heal(), 'began 1 operations; 0 of 1 nodes dead');
    assert.match(await heal(), /^waits \d s: its last new node failed/);
    world.clock.skip(6_000);
    assert.match(await heal(), /^began 1/);
    // 15 s, less those that were skipped here and not in the database: longer than the first could be.
    const [, againS] = /^waits (\d+) s/.exec(await heal()) ?? [];
    assert.ok(Number(againS) > 5, `${againS} s`);
    world.clock.skip(20_000);
    assert.match(await heal(), /^began 1/);
    assert.equal(await heal(), 'nothing');
    await assertConsistent(world);
  }));

void test('a database server that dies again while it is healed is started again, by the same healing', () =>
  withDeployedWorld(async (world) => {
    const [database] = await listServices(world.store, 'database');
    if (database === undefined) assert.fail('there is no database server');
    const stop = () => world.fleet.instances.stop(database.instance, { force: true });
    await stop();
    let deaths = 0;
    world.onPoint = async ({ kind, step, when }) => {
      if (deaths > 0 || kind !== 'database.create' || step !== 'healthy' || when !== 'before-do') return;
      deaths += 1;
      await stop();
    };
    const params = { name: database.name, heal: true };
    const view = await world.run((sql, { platform }) =>
      platform.operations.start(sql, 'database.create', params, tester),
    );
    assert.deepEqual([view.state, deaths], ['succeeded', 1]);
    assert.equal((await world.fleet.instances.read(database.instance))?.status, 'running');
  }));
