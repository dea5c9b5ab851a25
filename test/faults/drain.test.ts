// Servers that are emptied and updated: what leaves and what stays, what visitors see meanwhile, and every step under faults.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startServerDrain } from '../../src/drain/drain.ts';
import { startServiceMove } from '../../src/drain/move-service.ts';
import { planDrain } from '../../src/drain/plan.ts';
import { endDraining } from '../../src/drain/undrain.ts';
import { planUpdate, startServerUpdate, type UpdateWish } from '../../src/drain/update.ts';
import { startEdgeAdd } from '../../src/edge/create.ts';
import { shareWishSchema, startEdgeShare } from '../../src/edge/share.ts';
import { listEdges } from '../../src/edge/store.ts';
import { healPools } from '../../src/pools/heal.ts';
import { newRollSchema, planRoll } from '../../src/pools/roll/start.ts';
import { startPoolScale } from '../../src/pools/scale.ts';
import { listNodes, listPools } from '../../src/pools/store.ts';
import { listServers, readServer, storeServerState } from '../../src/servers/store.ts';
import { listServices } from '../../src/services/store.ts';
import { listSites } from '../../src/sites/store.ts';
import { assertConsistent } from './consistency.ts';
import { describeTrials } from './trials.ts';
import { makeServers, tester, type World, withDeployedWorld } from './world.ts';

const signal = () => AbortSignal.timeout(30_000);
const cluster = { servers: makeServers(3), cluster: true };
const wish = { patienceS: 60, leaveBehind: true };
const updateWish = (servers: string[]): UpdateWish => ({ ...wish, servers, reboot: 'if-needed' });
const partsOf = (world: World) => world.controller.rooms.parts.drain;

/** Servers with a database server or a cache server. */
const listHomes = async (world: World): Promise<(string | null)[]> =>
  [...(await listServices(world.store, 'database')), ...(await listServices(world.store, 'cache'))].map(
    ({ server }) => server,
  );

/** The server with the most nodes, but for some. */
async function fullest(world: World, without: readonly (string | null)[] = []): Promise<string> {
  const counts = new Map<string, number>();
  for (const { server } of await listNodes(world.store)) counts.set(server ?? '', (counts.get(server ?? '') ?? 0) + 1);
  const [best] = [...counts].filter(([server]) => !without.includes(server)).sort(([, a], [, b]) => b - a);
  return best?.[0] ?? '';
}

const nodesOn = async (world: World, server: string) =>
  (await listNodes(world.store, { server })).map(({ name }) => name);

async function beginDrain(world: World, server: string) {
  const plan = await planDrain(partsOf(world), server, wish, signal());
  return world.begin((sql) =>
    startServerDrain(partsOf(world), sql, server, { ...wish, nodes: plan.nodes, services: plan.services }, tester),
  );
}

/** As it is after a drain, and with all that pools want. */
async function restore(world: World): Promise<void> {
  for (const { name, drainReason } of await listServers(world.store))
    if (drainReason !== null) await endDraining(partsOf(world), name, tester);
  world.clock.skip(600_000);
  await world.beat();
  for (let turn = 0; turn < 2; turn += 1) {
    await healPools(world.controller.rooms.parts.pools, signal());
    await world.quiet();
  }
}

void test('a server is emptied, and at every moment each pool has the nodes that it wants at the edges', () =>
  withDeployedWorld(async (world) => {
    const server = await fullest(world);
    assert.ok((await nodesOn(world, server)).length > 0);
    const wanted = new Map((await listPools(world.store)).map((pool) => [pool.name, pool.wanted]));
    world.onCall = (call) => {
      for (const { name, servers } of world.agents.edge?.pools ?? []) {
        const serving = servers.filter(({ drain }) => !drain).length;
        assert.ok(serving >= (wanted.get(name) ?? 0), `${call}: ${name} has ${serving} nodes at the edges`);
      }
    };
    const { id } = await beginDrain(world, server);
    const view = await world.ended(id);
    world.onCall = () => undefined;
    assert.equal(view.state, 'succeeded', view.problem?.detail);
    assert.deepEqual(await nodesOn(world, server), []);
    assert.equal((await readServer(world.store, server))?.state, 'draining');
    const removals = (await partsOf(world).operations.list({ kind: 'node.remove' })).items;
    for (const { params } of removals) assert.equal((params as { patienceS: number }).patienceS, wish.patienceS);
    await assertConsistent(world);
  }, cluster));

void test('nothing is placed on a server that is emptied, also after it was lost and is heard again', () =>
  withDeployedWorld(async (world) => {
    const server = await fullest(world);
    await world.ended((await beginDrain(world, server)).id);
    await storeServerState(world.store, server, 'lost', 'no heartbeat for 12 s');
    assert.equal((await readServer(world.store, server))?.state, 'lost');
    await storeServerState(world.store, server, 'ready', 'its agent is heard again');
    assert.equal((await readServer(world.store, server))?.state, 'draining');
    const { pools } = world.controller.rooms.parts;
    await world.run((sql) => startPoolScale(pools, sql, 'wordpress', 5, tester));
    assert.deepEqual(await nodesOn(world, server), []);
    await endDraining(partsOf(world), server, tester);
    assert.equal((await readServer(world.store, server))?.state, 'ready');
    await assert.rejects(endDraining(partsOf(world), server, tester), { code: 'drain.not-draining' });
    await world.run((sql) => startPoolScale(pools, sql, 'wordpress', 7, tester));
    assert.ok((await nodesOn(world, server)).length > 0);
  }, cluster));

void test('what cannot leave is told with the reason, and nothing changes', () =>
  withDeployedWorld(async (world) => {
    const { server } = (await world.store.query<{ server: string }>('SELECT server FROM database_server'))[0] ?? {};
    const plan = (leaveBehind: boolean) => planDrain(partsOf(world), server ?? '', { ...wish, leaveBehind }, signal());
    await assert.rejects(plan(false), { code: 'drain.stays-behind' });
    const { plan: lines, sites } = await plan(true);
    assert.match(lines.join('\n'), /It moves with its data: the database server db1, to s\d/);
    assert.match(lines.join('\n'), /It stays: the edge edge1, since visitors reach it at/);
    assert.deepEqual(sites, ['mediawiki', 'wordpress']);
    assert.equal((await readServer(world.store, server ?? ''))?.state, 'ready');
    await assert.rejects(planDrain(partsOf(world), 'nowhere', wish, signal()), { code: 'common.not-found' });
  }, cluster));

void test('nodes whose uploads lie on a volume of their server stay, and their sites are named', () =>
  withDeployedWorld(
    async (world) => {
      const server = await fullest(world);
      const { plan, sites, nodes } = await planDrain(partsOf(world), server, wish, signal());
      assert.equal(nodes, 0);
      assert.match(plan.join('\n'), /lie on a volume there/);
      const pools = new Set((await listNodes(world.store, { server })).map(({ pool }) => pool));
      const theirs = (await listSites(world.store)).filter(({ pool }) => pools.has(pool)).map(({ name }) => name);
      assert.ok(theirs.length > 0);
      assert.deepEqual(sites, theirs.sort());
    },
    { servers: makeServers(2) },
  ));

void test('where there is no room for all that would leave, the emptying is refused', () =>
  withDeployedWorld(async (world) => {
    const server = await fullest(world);
    await world.store.query(
      `UPDATE server SET load = jsonb_set(load, '{memoryAvailableBytes}', '1000') WHERE name <> $1`,
      [server],
    );
    await assert.rejects(beginDrain(world, server), { code: 'server.no-memory' });
    assert.equal((await readServer(world.store, server))?.state, 'ready');
  }, cluster));

void test('a pool with a node on a server that is emptied is not rolled', () =>
  withDeployedWorld(async (world) => {
    await world.store.query(`UPDATE server SET state = 'draining', drain_reason = 'for the test'`);
    const { pools } = world.controller.rooms.parts;
    await assert.rejects(planRoll(pools, world.store, 'wordpress', newRollSchema.parse({})), (thrown: Error) =>
      /draining|has-image/.test((thrown as Error & { code: string }).code),
    );
  }, cluster));

void test('a pool that shrinks keeps its spread', () =>
  withDeployedWorld(
    async (world) => {
      const { pools } = world.controller.rooms.parts;
      await world.run((sql) => startPoolScale(pools, sql, 'wordpress', 4, tester));
      await world.run((sql) => startPoolScale(pools, sql, 'wordpress', 2, tester));
      const on = (await listNodes(world.store, { pool: 'wordpress' })).map(({ server }) => server);
      assert.deepEqual(on.sort(), ['s1', 's2']);
    },
    { servers: makeServers(2), cluster: true },
  ));

/** Agents report until it is stopped. */
function beat(world: World): { stop(): Promise<void> } {
  const stop = new AbortController();
  const beating = (async () => {
    while (!stop.signal.aborted) {
      await world.beat().catch(() => undefined);
      await world.clock.wait(50, stop.signal).catch(() => undefined);
    }
  })();
  return {
    async stop() {
      stop.abort();
      await beating;
    },
  };
}

/** Agents report while an update looks whether all is well. */
async function update(world: World, servers: string[]) {
  const { servers: planned, ...plan } = await planUpdate(partsOf(world), updateWish(servers), signal());
  const { id } = await world.begin((sql) =>
    startServerUpdate(partsOf(world), sql, { ...updateWish(servers), servers: planned }, tester),
  );
  const beating = beat(world);
  const view = await world.ended(id);
  await beating.stop();
  return { view, plan };
}

void test('servers are updated one after another, the first of the cluster last, and those that ask for it are rebooted', () =>
  withDeployedWorld(async (world) => {
    world.agents.hosts.set('s2', { boot: 'a', wantsReboot: false, upgradable: 3 });
    world.agents.hosts.set('s3', { boot: 'b', wantsReboot: false, upgradable: 0 });
    const { view, plan } = await update(world, []);
    assert.equal(view.state, 'succeeded', view.problem?.detail);
    assert.match(plan.plan[0] ?? '', /^1\. s2 is emptied/);
    assert.deepEqual(
      view.steps.filter(({ name }) => name.startsWith('drain ')).map(({ name }) => name),
      ['drain s2', 'drain s3', 'drain s1'],
    );
    assert.deepEqual([world.agents.hosts.get('s2')?.boot, world.agents.hosts.get('s3')?.boot], ['a+1', 'b']);
    for (const { state } of await listServers(world.store)) assert.equal(state, 'ready');
    await assertConsistent(world);
  }, cluster));

void test('a server whose packages cannot be upgraded stays empty, and no other is touched', () =>
  withDeployedWorld(async (world) => {
    world.agents.hosts.set('s2', { boot: 'a', wantsReboot: false, upgradable: 1, broken: 'no such mirror' });
    const { view } = await update(world, ['s2', 's3']);
    assert.equal(view.state, 'failed');
    assert.equal(view.problem?.code, 'drain.update-failed');
    assert.match(view.problem?.detail ?? '', /no such mirror/);
    const states = (await listServers(world.store)).map(({ name, state }) => `${name} ${state}`);
    assert.deepEqual(states, ['s1 ready', 's2 draining', 's3 ready']);
    await assertConsistent(world);
  }, cluster));

void test('after a server is updated, the next one waits until its controller is there again', () =>
  withDeployedWorld(async (world) => {
    const parts = partsOf(world);
    let looks = 0;
    parts.controllers = {
      ...parts.controllers,
      async findSilent(server) {
        if (server === 's2') looks += 1;
        return server === 's2' && looks < 3 ? 'it has not been seen for 20 s' : undefined;
      },
    };
    const { view } = await update(world, ['s2', 's3']);
    assert.equal(view.state, 'succeeded', view.problem?.detail);
    assert.equal(looks, 3);
  }, cluster));

const nameOf = (noun: string): string => (noun === 'database' ? 'db1' : 'cache1');
const startMove = (world: World, noun: 'database' | 'cache') =>
  world.begin((sql) => startServiceMove(partsOf(world), sql, noun, nameOf(noun), {}, tester));
const homeOf = async (world: World, noun: 'database' | 'cache') =>
  (await listServices(world.store, noun)).find(({ name }) => name === nameOf(noun));

void test('a database server moves with its data while the visitors of its sites are held, and its sites know its address', () =>
  withDeployedWorld(async (world) => {
    const before = await homeOf(world, 'database');
    const seen = new Set<string>();
    world.onCall = (call) => {
      const held = (world.agents.edge?.hosts ?? []).every(({ state }) => state === 'held');
      if (call.includes('instances.stop') && call.includes('database-')) seen.add(held ? 'held' : 'open');
    };
    const view = await world.ended((await startMove(world, 'database')).id);
    assert.equal(view.state, 'succeeded', view.problem?.detail);
    world.onCall = () => undefined;
    const after = await homeOf(world, 'database');
    assert.notEqual(after?.server, before?.server);
    assert.equal(after?.instance, 'database-db1-m1');
    // A second stop, of a container that stands already, may come when it is removed.
    assert.ok(seen.has('held'));
    const sites = await listSites(world.store);
    for (const { databaseHost, held } of sites) assert.deepEqual([databaseHost, held], [after?.address, null]);
    for (const documents of world.agents.applied.values())
      for (const { database } of documents) assert.equal(database.host, after?.address);
    assert.ok((world.agents.edge?.hosts ?? []).every(({ state }) => state === 'ready'));
    await assertConsistent(world);
  }, cluster));

void test('a server with databases is emptied of them too, and only what visitors reach there stays', () =>
  withDeployedWorld(async (world) => {
    const server = (await homeOf(world, 'database'))?.server ?? '';
    const view = await world.ended((await beginDrain(world, server)).id);
    assert.equal(view.state, 'succeeded', view.problem?.detail);
    assert.ok(!(await listHomes(world)).includes(server));
    const kinds = (await world.fleet.instances.list({ server })).map(({ labels }) => labels.kind);
    assert.deepEqual([...new Set(kinds)], ['edge']);
    await assertConsistent(world);
  }, cluster));

/** Two edges on two servers with an address, and the server that has it. */
async function shareAddress(world: World): Promise<string> {
  const { edge } = world.controller.rooms.parts;
  const beating = beat(world);
  const added = await world.ended((await startEdgeAdd(edge, {}, tester)).id);
  assert.equal(added.state, 'succeeded', added.problem?.detail);
  const shared = await world.ended((await startEdgeShare(edge, shareWishSchema.parse({ address }), tester)).id);
  assert.equal(shared.state, 'succeeded', shared.problem?.detail);
  await beating.stop();
  return world.agents.holder ?? '';
}
const address = '192.0.2.200';
const holdersOf = async (world: World) =>
  (await listEdges(world.store)).flatMap(({ holds, server }) => (holds ? [server] : []));

void test('a server whose edge has the shared address passes it on, and is empty of what visitors need', () =>
  withDeployedWorld(async (world) => {
    const server = await shareAddress(world);
    const plan = await planDrain(partsOf(world), server, { ...wish, leaveBehind: true }, signal());
    assert.match(plan.plan.join('\n'), /It is relieved: the edge edge\d; edge\d takes 192\.0\.2\.200 over\./);
    assert.doesNotMatch(plan.plan.join('\n'), /It stays: the edge/);
    const { id } = await beginDrain(world, server);
    const beating = beat(world);
    const view = await world.ended(id);
    assert.equal(view.state, 'succeeded', view.problem?.detail);
    const [heir] = await holdersOf(world);
    assert.ok(heir !== undefined && heir !== server);
    const { output } = view.steps.find(({ name }) => name === 'note') ?? {};
    assert.doesNotMatch(JSON.stringify(output), /edge/);
    await endDraining(partsOf(world), server, tester);
    assert.deepEqual(
      (await listEdges(world.store)).map(({ yields }) => yields),
      [false, false],
    );
    await beating.stop();
    assert.deepEqual(await holdersOf(world), [heir], 'it does not go back');
    await assertConsistent(world);
  }, cluster));

void test('where the other edge is not there either, the one that has the address stays, with the sites that would be away', () =>
  withDeployedWorld(async (world) => {
    const server = await shareAddress(world);
    await world.store.query(`UPDATE edge SET state = 'unhealthy' WHERE server <> $1`, [server]);
    const { plan, sites } = await planDrain(partsOf(world), server, wish, signal());
    assert.match(plan.join('\n'), /It stays: the edge edge\d, since visitors reach it at/);
    assert.deepEqual(sites, ['mediawiki', 'wordpress']);
    await assert.rejects(planDrain(partsOf(world), server, { ...wish, leaveBehind: false }, signal()), {
      code: 'drain.stays-behind',
    });
  }, cluster));

void test('the controller of a server that is emptied hands over to another one, and that one goes on', () =>
  withDeployedWorld(async (world) => {
    const parts = partsOf(world);
    const first = (await parts.readLeadingServer(world.store)) ?? '';
    let leading = first;
    parts.readLeadingServer = async () => leading;
    parts.controllers = {
      readHeir: async () => ({ id: 'c2', name: 's9' }),
      findSilent: async () => undefined,
      handOver: async (heir, withinMs) => {
        assert.deepEqual([heir, withinMs > 0], ['c2', true]);
        leading = 's9';
      },
    };
    const { plan } = await planDrain(parts, first, wish, signal());
    assert.match(plan.join('\n'), /It is relieved: the controller; the one on s9 leads then\./);
    const view = await world.ended((await beginDrain(world, first)).id);
    assert.equal(view.state, 'succeeded', view.problem?.detail);
    assert.equal(leading, 's9');
  }, cluster));

void test('where there is no other server a database server has nowhere to go', () =>
  withDeployedWorld(async (world) => {
    await assert.rejects(startMove(world, 'database'), { code: 'server.none-ready' });
  }));

describeTrials(
  'servers that are emptied, under faults',
  {
    'the emptying of a server': {
      kind: 'server.drain',
      namesAnew: true,
      async prepare(world) {
        await restore(world);
        const server = await fullest(world, await listHomes(world));
        const { nodes, services } = await planDrain(partsOf(world), server, wish, signal());
        return (sql, { rooms }) =>
          startServerDrain(rooms.parts.drain, sql, server, { ...wish, nodes, services }, tester);
      },
      async check(world, view) {
        await assertConsistent(world);
        const { server } = view.params as { server: string };
        const state = (await readServer(world.store, server))?.state;
        assert.equal(state, view.state === 'succeeded' ? 'draining' : 'ready');
        if (view.state === 'succeeded') assert.deepEqual(await nodesOn(world, server), []);
      },
    },
    'the move of a database server': {
      kind: 'database.move',
      namesAnew: true,
      async prepare(world) {
        await restore(world);
        return (sql, { rooms }) => startServiceMove(rooms.parts.drain, sql, 'database', 'db1', {}, tester);
      },
    },
    'the move of a cache server': {
      kind: 'cache.move',
      namesAnew: true,
      async prepare(world) {
        await restore(world);
        return (sql, { rooms }) => startServiceMove(rooms.parts.drain, sql, 'cache', 'cache1', {}, tester);
      },
    },
    'the update of a server': {
      kind: 'server.update',
      namesAnew: true,
      loop: (world) => world.beat(),
      async prepare(world) {
        await restore(world);
        world.agents.hosts.set('s3', { boot: 'a', wantsReboot: true, upgradable: 1 });
        const { servers } = await planUpdate(partsOf(world), updateWish(['s3']), signal());
        return (sql, { rooms }) => startServerUpdate(rooms.parts.drain, sql, { ...updateWish([]), servers }, tester);
      },
    },
  },
  cluster,
);
