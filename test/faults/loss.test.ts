// The loss of a server in a simulated cluster: fencing and cleaning under faults, what is made anew and what is not, and that no
// server is stormed by those who want to boot.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SimulatedSession } from '../../src/engines/simulated/database.ts';
import { healPools } from '../../src/pools/heal.ts';
import { startPoolScale } from '../../src/pools/scale.ts';
import { countBooting, listNodes } from '../../src/pools/store.ts';
import { startServerFence } from '../../src/servers/fence.ts';
import { MOST_STARTING } from '../../src/servers/place.ts';
import { readServer } from '../../src/servers/store.ts';
import { assertConsistent } from './consistency.ts';
import {
  beSilent,
  bringBack,
  chooseVictim,
  closeSession,
  heal,
  lose,
  makeServers,
  openSession,
  soon,
  testify,
  watch,
} from './lost-server.ts';
import { describeTrials } from './trials.ts';
import { tester, type World, withDeployedWorld } from './world.ts';

const options = { servers: makeServers(3), cluster: true };
const why = 'the trial says so';

/** What a trial of fencing has prepared. */
let victim = '';
let session: SimulatedSession | undefined;

/** Whole again, then without one of its servers, which nobody has fenced yet. */
async function loseOne(world: World): Promise<void> {
  victim = await chooseVictim(world);
  session = await openSession(world, victim);
  await lose(world, victim);
  await testify(world);
  await world.store.query(`UPDATE server SET state = 'lost', reason = 'silent' WHERE name = $1`, [victim]);
}

/** Nothing of a server may be made anew while it could still write. */
async function assertFencedFirst(world: World): Promise<void> {
  const server = await readServer(world.store, victim);
  const itsNodes = await listNodes(world.store, { server: victim });
  const carriers = await world.controller.rooms.parts.loss.listCarriers(world.store);
  if (server?.isFenceUp !== true) {
    assert.ok(itsNodes.length > 0, 'its nodes count as living until its fence is up');
    const began = await healPools(world.controller.rooms.parts.pools, soon());
    assert.deepEqual(began, {}, 'healing began something before the fence was up');
    return;
  }
  assert.equal(itsNodes.length, 0);
  assert.throws(() => session?.write('after the fence'), { code: 'mariadb.away' });
  for (const { server: carrier } of carriers) {
    if (carrier !== victim)
      assert.ok(!world.agents.peers.get(carrier)?.includes(victim), `${carrier} admits ${victim}`);
  }
}

describeTrials(
  'a lost server under faults',
  {
    'the fence of a server': {
      kind: 'server.fence',
      async prepare(world) {
        await loseOne(world);
        const params = { server: victim, why };
        return (sql, { platform }) => platform.operations.start(sql, 'server.fence', params, tester);
      },
      async check(world) {
        await assertFencedFirst(world);
        // As the watch does: one that failed is begun again.
        for (let looks = 0; looks < 3 && (await readServer(world.store, victim))?.isFenceUp !== true; looks += 1) {
          await watch(world);
          await world.quiet();
        }
        await assertFencedFirst(world);
        assert.equal((await readServer(world.store, victim))?.state, 'fenced');
        await heal(world);
        await bringBack(world, victim);
        await closeSession(world);
        await assertConsistent(world);
      },
    },
    'the cleaning of a server that is back': {
      kind: 'server.clean',
      async prepare(world) {
        await loseOne(world);
        const params = { server: victim, why };
        await world.run((sql, { platform }) => platform.operations.start(sql, 'server.fence', params, tester));
        await heal(world);
        world.fleet.faults.rejoin(victim);
        world.agents.off.delete(victim);
        world.agents.hears = () => true;
        await world.beat();
        assert.equal((await readServer(world.store, victim))?.state, 'back');
        return (sql, { platform }) => platform.operations.start(sql, 'server.clean', params, tester);
      },
      async check(world) {
        await bringBack(world, victim);
        await closeSession(world);
        const leftovers = await world.fleet.instances.list({ labels: { kind: 'node' }, server: victim });
        const known = new Set((await listNodes(world.store, { server: victim })).map(({ name }) => name));
        assert.deepEqual(
          leftovers.filter(({ name }) => !known.has(name)),
          [],
        );
        await assertConsistent(world);
      },
    },
  },
  options,
);

void test('a server that nobody hears is fenced by itself, its nodes are made elsewhere, and it comes back clean', () =>
  withDeployedWorld(async (world) => {
    const lost = await chooseVictim(world);
    const before = await listNodes(world.store);
    const writer = await openSession(world, lost);
    await lose(world, lost);
    await testify(world);
    await watch(world);
    await world.quiet();
    const fenced = await readServer(world.store, lost);
    assert.deepEqual([fenced?.state, fenced?.isFenceUp], ['fenced', true], fenced?.reason);
    assert.match(fenced?.reason ?? '', /no heartbeat of its agent, and .* not hear it either/);
    assert.throws(() => writer.write('late'), { code: 'mariadb.away' });
    // Nor does any that logs in anew reach a database or a cache.
    const carriers = await world.controller.rooms.parts.loss.listCarriers(world.store);
    for (const { server } of carriers)
      assert.ok(!world.agents.peers.get(server)?.includes(lost), `${server} admits it`);
    await heal(world);
    const after = await listNodes(world.store);
    assert.equal(after.length, before.length);
    assert.ok(after.every(({ server }) => server !== lost));
    // Frozen, and going on: what it says is not heard before it has said hello, and then it does not serve.
    world.fleet.faults.rejoin(lost);
    assert.ok((await world.fleet.instances.list({ labels: { kind: 'node' }, server: lost })).length > 0);
    await bringBack(world, lost);
    assert.equal((await world.fleet.instances.list({ labels: { kind: 'node' }, server: lost })).length, 0);
    await closeSession(world);
    await assertConsistent(world);
  }, options));

void test('a server that only the controller does not hear is lost, and nothing of it is touched', () =>
  withDeployedWorld(async (world) => {
    const lost = await chooseVictim(world);
    const before = (await listNodes(world.store)).map(({ name, atEdge }) => ({ name, atEdge }));
    world.controller.rooms.simulatedAgents?.setConnected(lost, false);
    await beSilent(world, lost);
    await testify(world);
    await watch(world);
    await world.quiet();
    const server = await readServer(world.store, lost);
    assert.deepEqual([server?.state, server?.alive], ['lost', true]);
    assert.match(server?.reason ?? '', /hears? it: its nodes serve on/);
    assert.deepEqual(await healPools(world.controller.rooms.parts.pools, soon()), {});
    const after = (await listNodes(world.store)).map(({ name, atEdge }) => ({ name, atEdge }));
    assert.deepEqual(after, before);
    // Not even a person fences it by mistake while it is heard by the controller.
    world.controller.rooms.simulatedAgents?.setConnected(lost, true);
    await world.beat();
    await watch(world);
    const { loss } = world.controller.rooms.parts;
    await assert.rejects(startServerFence(loss, lost, tester), { code: 'server.not-lost' });
    await assert.rejects(startServerFence(loss, 's9', tester), { code: 'common.not-found' });
    await assert.rejects(startServerFence(loss, 's1', tester), { code: 'server.has-controller' });
  }, options));

void test('when most servers are silent at once none is fenced, until a person says so', () =>
  withDeployedWorld(async (world) => {
    for (const server of ['s2', 's3']) await lose(world, server);
    await testify(world);
    await watch(world);
    await world.quiet();
    for (const name of ['s2', 's3']) {
      const server = await readServer(world.store, name);
      assert.equal(server?.state, 'lost');
      assert.match(server?.reason ?? '', /2 of 3 servers are silent at once/);
    }
    const { loss } = world.controller.rooms.parts;
    const { id } = await startServerFence(loss, 's2', { by: 'token:ops', reason: 'it burns' });
    assert.equal((await world.ended(id)).state, 'succeeded');
    const server = await readServer(world.store, 's2');
    assert.deepEqual([server?.state, server?.reason], ['fenced', 'it burns']);
  }, options));

void test('what cannot be made anew is said, with its reason, and its fence does not wait for it', () =>
  withDeployedWorld(async (world) => {
    const { loss } = world.controller.rooms.parts;
    await world.run((sql, { rooms }) =>
      rooms.databases.startCreate(sql, { name: 'db2', maxSites: 10, memoryMb: 512 }, tester),
    );
    const carriers = await loss.listCarriers(world.store);
    const carrier = carriers.find(({ server }) => server !== 's1');
    if (carrier === undefined) return assert.fail('every service is on the first server');
    await lose(world, carrier.server);
    await testify(world);
    await watch(world);
    await world.quiet();
    const server = await readServer(world.store, carrier.server);
    assert.equal(server?.isFenceUp, true, server?.reason);
    assert.ok(server.left.includes(`${carrier.what}: its data lies there`), server.left.join('; '));
  }, options));

void test('nodes of many are made anew in turns: no server starts more than a few at once', () =>
  withDeployedWorld(async (world) => {
    const { pools } = world.controller.rooms.parts;
    await world.run((sql) => startPoolScale(pools, sql, 'wordpress', 30, tester));
    const lost = await chooseVictim(world);
    const gone = (await listNodes(world.store, { server: lost })).length;
    assert.ok(gone > 2 * MOST_STARTING, `${gone} nodes are too few for this test`);
    await lose(world, lost);
    await testify(world);
    await watch(world);
    await world.quiet();
    let most = 0;
    world.onPoint = async ({ kind }) => {
      if (kind !== 'node.create') return;
      for (const [server, count] of await countBooting(world.store)) if (server !== null) most = Math.max(most, count);
    };
    await heal(world);
    assert.ok(most > 0 && most <= MOST_STARTING, `${most} nodes started on one server at once`);
    const after = await listNodes(world.store, { pool: 'wordpress' });
    assert.equal(after.length, 30);
  }, options));
