// The loss of a server in the middle of something else: of its emptying, of a move from it, of the leading of its controller, of
// edges that share an address. Fencing waits for none of that.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noteController } from '../../src/controllers/store.ts';
import { startServerDrain } from '../../src/drain/drain.ts';
import { startServiceMove } from '../../src/drain/move-service.ts';
import { planDrain } from '../../src/drain/plan.ts';
import { startEdgeAdd } from '../../src/edge/create.ts';
import { startEdgeDelete } from '../../src/edge/delete.ts';
import { listEdges, storeEdgeAddress } from '../../src/edge/store.ts';
import { listNodes } from '../../src/pools/store.ts';
import { readCluster } from '../../src/servers/cluster-store.ts';
import { planServerFence, startServerFence } from '../../src/servers/fence.ts';
import { readServer } from '../../src/servers/store.ts';
import { listServices } from '../../src/services/store.ts';
import { listSites } from '../../src/sites/store.ts';
import { assertConsistent } from './consistency.ts';
import { bringBack, chooseVictim, heal, lose, makeServers, soon, testify, watch } from './lost-server.ts';
import { tester, type World, withDeployedWorld } from './world.ts';

const options = { servers: makeServers(3), cluster: true };

/** The kinds of operations that are under way or have ended well, as `server.fence succeeded`. */
const listFences = async (world: World, server: string): Promise<string[]> =>
  (await world.controller.platform.operations.list({ lock: `fence:${server}` })).items.map(
    ({ kind, state }) => `${kind} ${state}`,
  );

/** Loses the server at the beginning of a step of some kind of operation, and has it fenced before that step is done. */
function loseAt(world: World, kind: string, step: string, server: () => string): { happened: boolean } {
  const outcome = { happened: false };
  world.onPoint = async (point) => {
    if (outcome.happened || point.kind !== kind || point.step !== step || point.when !== 'before-do') return;
    outcome.happened = true;
    await lose(world, server());
    await testify(world);
    await watch(world);
    const fence = (await world.controller.platform.operations.list({ kind: 'server.fence', limit: 1 })).items[0];
    assert.ok(fence !== undefined, 'the fence waits for what is under way');
    assert.equal((await world.ended(fence.id)).state, 'succeeded');
    assert.equal((await readServer(world.store, server()))?.isFenceUp, true);
  };
  return outcome;
}

void test('a server that is lost while it is emptied is fenced at once, and the emptying ends with the reason', () =>
  withDeployedWorld(async (world) => {
    const server = await chooseVictim(world);
    const wish = { patienceS: 60, leaveBehind: true };
    const { drain } = world.controller.rooms.parts;
    const { nodes, services } = await planDrain(drain, server, wish, soon());
    assert.ok(nodes > 0);
    const lost = loseAt(world, 'node.replace', 'remove', () => server);
    const { id } = await world.begin((sql) =>
      startServerDrain(drain, sql, server, { ...wish, nodes, services }, tester),
    );
    const view = await world.ended(id);
    assert.ok(lost.happened);
    assert.deepEqual([view.state, view.problem?.code], ['recovered', 'drain.lost'], JSON.stringify(view.problem));
    assert.match(view.problem?.detail ?? '', /is fenced: no heartbeat of its agent/);
    const fenced = await readServer(world.store, server);
    assert.deepEqual([fenced?.state, fenced?.isFenceUp, fenced?.drainReason], ['fenced', true, null]);
    await heal(world);
    assert.deepEqual(await listNodes(world.store, { server }), []);
    await bringBack(world, server);
    await assertConsistent(world);
  }, options));

for (const lostHome of ['former', 'next'] as const)
  void test(`a database server whose ${lostHome} server is lost while it moves lives where it did, and no visitor is held`, () =>
    withDeployedWorld(async (world) => {
      // Only one without the controller is lost; and the database goes to one such.
      const { drain } = world.controller.rooms.parts;
      const home = async () => (await listServices(world.store, 'database'))[0]?.server ?? '';
      const move = (to: string) =>
        world.begin((sql) => startServiceMove(drain, sql, 'database', 'db1', { to }, tester));
      if ((await home()) !== 's2') assert.equal((await world.ended((await move('s2')).id)).state, 'succeeded');
      const server = lostHome === 'former' ? 's2' : 's3';
      const lost = loseAt(world, 'database.move', 'switch', () => server);
      const view = await world.ended((await move('s3')).id);
      assert.ok(lost.happened);
      assert.deepEqual(
        [view.state, view.problem?.code],
        ['recovered', 'drain.home-lost'],
        JSON.stringify(view.problem),
      );
      assert.equal(await home(), 's2');
      for (const { held } of await listSites(world.store)) assert.equal(held, null);
      await heal(world);
      await bringBack(world, server);
    }, options));

void test('a server whose agent is heard before its engine is let in only when its old nodes are removed', () =>
  withDeployedWorld(async (world) => {
    const server = await chooseVictim(world);
    const nodeOf = () => world.fleet.instances.list({ labels: { kind: 'node' }, server });
    assert.ok((await nodeOf()).length > 0);
    await lose(world, server);
    await testify(world);
    await watch(world);
    await world.quiet();
    await heal(world);
    world.agents.off.delete(server);
    await world.beat();
    await watch(world);
    const waiting = await world.waiting();
    assert.deepEqual([waiting.kind, waiting.waiting?.problem.code], ['server.clean', 'incus.away']);
    assert.equal((await readServer(world.store, server))?.state, 'back');
    await bringBack(world, server);
    assert.deepEqual(await nodeOf(), []);
    await assertConsistent(world);
  }, options));

void test('when the first server dies, a controller on another takes over and fences it', () =>
  withDeployedWorld(async (world) => {
    const { loss } = world.controller.rooms.parts;
    await assert.rejects(startServerFence(loss, 's1', tester), { code: 'server.has-controller' });
    const nodes = (await listNodes(world.store)).length;
    world.kill();
    await noteController(world.store, { id: 'c2', name: 's2', address: '192.0.2.2', port: 7443, version: '' });
    await world.store.query(
      `UPDATE controller_lease SET holder = 'c2', term = term + 1, since = now(), until = now() + interval '1 hour'`,
    );
    await world.start();
    await lose(world, 's1');
    await watch(world);
    const unheard = await readServer(world.store, 's1');
    // Nobody has told the new controller anything yet.
    assert.equal(unheard?.state, 'lost', unheard?.reason);
    await testify(world);
    await watch(world);
    await world.quiet();
    const fenced = await readServer(world.store, 's1');
    assert.deepEqual([fenced?.state, fenced?.isFenceUp], ['fenced', true], fenced?.reason);
    await heal(world);
    const after = await listNodes(world.store);
    assert.equal(after.length, nodes);
    assert.ok(after.every(({ server }) => server !== 's1'));
    const parts = world.controller.rooms.parts.loss;
    await assert.rejects(startServerFence(parts, 's2', tester), { code: 'server.has-controller' });
    assert.equal((await readCluster(world.store))?.server, 's1', 'until it is removed');
    await bringBack(world, 's1');
    await assertConsistent(world);
  }, options));

void test('an edge is left behind by the loss of its server, unless another one has the address that they share', () =>
  withDeployedWorld(async (world) => {
    const { edge, loss } = world.controller.rooms.parts;
    const first = (await listEdges(world.store))[0]?.server ?? '';
    const server = first === 's1' ? 's3' : first;
    const { id } = await startEdgeAdd(edge, first === 's1' ? { server } : { server: 's1' }, tester);
    assert.equal((await world.ended(id)).state, 'succeeded');
    const plan = async () => (await planServerFence(loss, server)).plan.join('\n');
    assert.match(await plan(), /Away until s\d is back: the edge edge\d: its door is an address of that server/);
    await storeEdgeAddress(world.store, { address: '192.0.2.99', httpPort: 80, httpsPort: 443, routerId: 9 });
    assert.doesNotMatch(await plan(), /the edge edge/);
    // Not so when the other one is away too.
    await world.store.query(`UPDATE server SET state = 'lost' WHERE name <> $1`, [server]);
    assert.match(await plan(), /the edge edge\d/);
    await world.store.query(`UPDATE server SET state = 'ready'`);
    await lose(world, server);
    await testify(world);
    await watch(world);
    await world.quiet();
    const fenced = await readServer(world.store, server);
    assert.equal(fenced?.isFenceUp, true, fenced?.reason);
    assert.ok(!fenced.left.some((what) => what.startsWith('the edge')), fenced.left.join('; '));
    // The edge that is left hears of it.
    const away = new Set((await listNodes(world.store, { server })).map(({ name }) => name));
    for (const { servers } of world.agents.edge?.pools ?? []) assert.ok(servers.every(({ name }) => !away.has(name)));
    assert.deepEqual([...(await listFences(world, server))], ['server.fence succeeded']);
    // For one whose server may never come back: it is forgotten, and what is left of it goes if the server does come.
    const [gone = ''] = (await listEdges(world.store)).filter((one) => one.server === server).map(({ name }) => name);
    const deleted = await world.ended((await startEdgeDelete(edge, gone, tester)).id);
    assert.equal(deleted.state, 'succeeded', deleted.problem?.detail);
    assert.ok((await listEdges(world.store)).every(({ name }) => name !== gone));
    await heal(world);
    await bringBack(world, server);
    assert.deepEqual(await world.fleet.instances.list({ labels: { kind: 'edge' }, server }), []);
    await assertConsistent(world);
  }, options));

void test('a rehearsed fence says what would be made anew, and neither fences nor forgets anything', () =>
  withDeployedWorld(async (world) => {
    const server = await chooseVictim(world);
    const { loss } = world.controller.rooms.parts;
    const list = async () => (await listNodes(world.store)).map(({ name, server: on }) => ({ name, on }));
    const before = await list();
    const { plan } = await planServerFence(loss, server);
    for (const { name } of before.filter(({ on }) => on === server))
      assert.ok(plan[1]?.includes(name), plan.join('\n'));
    assert.deepEqual(await list(), before);
    assert.equal((await readServer(world.store, server))?.state, 'ready');
    assert.deepEqual(await listFences(world, server), []);
  }, options));
