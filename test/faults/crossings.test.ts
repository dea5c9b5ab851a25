// Sites that cross servers: between volumes of two servers, between pools in the shared folder whose owners have other ids.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newPoolSchema, startPoolCreate } from '../../src/pools/create.ts';
import { contentVolume } from '../../src/pools/parts.ts';
import { listNodes, readPool } from '../../src/pools/store.ts';
import { storeServerState } from '../../src/servers/store.ts';
import { carrierOf, sourceCarrierOf } from '../../src/sites/carriers.ts';
import { newCloneSchema, startSiteClone } from '../../src/sites/clone.ts';
import { startSiteMove } from '../../src/sites/move.ts';
import { startMoveAll } from '../../src/sites/move-all.ts';
import { newMoveSchema, planMove } from '../../src/sites/plan-move.ts';
import { listSites, readSite } from '../../src/sites/store.ts';
import { assertConsistent } from './consistency.ts';
import { describeTrials } from './trials.ts';
import { makeServers, tester, type World, withDeployedWorld } from './world.ts';

const OWN = 'wordpress-own';
const two = { servers: makeServers(2) };
const shared = { ...two, cluster: true };

const homeOf = async (world: World, pool: string): Promise<string> =>
  (await world.fleet.volumes.read(contentVolume(pool)))?.server ?? '';

/** A pool of the site's own, on the other server where pools are bound to one. */
async function ensureOwnPool(world: World): Promise<void> {
  if ((await readPool(world.store, OWN)) !== undefined) return;
  const home = await homeOf(world, 'wordpress');
  const server = home === '' ? undefined : home === 's1' ? 's2' : 's1';
  const wish = newPoolSchema.parse({ name: OWN, dedicatedTo: 'wordpress', size: 1, server });
  const view = await world.run((sql, { rooms }) => startPoolCreate(rooms.parts.pools, sql, wish, tester));
  assert.equal(view.state, 'succeeded', view.problem?.detail);
}

const move = (world: World, to: string) =>
  world.begin((sql, { rooms }) =>
    startSiteMove(rooms.parts.sites, sql, 'wordpress', newMoveSchema.parse({ to }), tester),
  );

async function moveBackAndForth(world: World): Promise<void> {
  for (const to of [OWN, 'wordpress']) {
    const view = await world.ended((await move(world, to)).id);
    assert.equal(view.state, 'succeeded', view.problem?.detail);
    const site = await readSite(world.store, 'wordpress');
    assert.deepEqual([site?.pool, site?.held], [to, null]);
    await assertConsistent(world);
  }
}

void test('pools that share no folder lie on different servers, each with its nodes', () =>
  withDeployedWorld(async (world) => {
    const homes = [await homeOf(world, 'wordpress'), await homeOf(world, 'mediawiki')];
    assert.deepEqual(homes.toSorted(), ['s1', 's2']);
    for (const pool of ['wordpress', 'mediawiki'])
      for (const { server } of await listNodes(world.store, { pool })) assert.equal(server, await homeOf(world, pool));
  }, two));

void test('a site moves to a volume of another server and back, by two carriers of which one reads from the other', () =>
  withDeployedWorld(async (world) => {
    await ensureOwnPool(world);
    const id = (await readSite(world.store, 'wordpress'))?.id ?? '';
    const on = new Map<string, string>();
    world.onCall = (call) => {
      for (const name of [carrierOf(id), sourceCarrierOf(id)]) {
        const found = Object.values(world.machine.projects).flatMap(({ instances }) => instances[name] ?? [])[0];
        if (found !== undefined && call.includes('exec')) on.set(name, found.server);
      }
    };
    const from = await homeOf(world, 'wordpress');
    const { plan } = await planMove(
      world.controller.rooms.parts.sites,
      'wordpress',
      newMoveSchema.parse({ to: OWN }),
      AbortSignal.timeout(10_000),
    );
    assert.match(plan.join(' '), /over the network/);
    assert.equal((await world.ended((await move(world, OWN)).id)).state, 'succeeded');
    assert.equal(on.get(sourceCarrierOf(id)), from);
    assert.equal(on.get(carrierOf(id)), await homeOf(world, OWN));
    world.onCall = () => undefined;
    await world.ended((await move(world, 'wordpress')).id);
    await assertConsistent(world);
  }, two));

void test('a site moves between two pools of the shared folder, whose owners have other ids', () =>
  withDeployedWorld(async (world) => {
    await ensureOwnPool(world);
    const bases = [await readPool(world.store, 'wordpress'), await readPool(world.store, OWN)].map(
      (pool) => pool?.contentBase,
    );
    assert.notEqual(bases[0], bases[1]);
    await moveBackAndForth(world);
  }, shared));

void test('a pool that is asked for on a server lies on a volume there, also where servers share a folder, and sites go both ways', () =>
  withDeployedWorld(async (world) => {
    const wish = newPoolSchema.parse({ name: OWN, dedicatedTo: 'wordpress', size: 2, server: 's2' });
    const view = await world.run((sql, { rooms }) => startPoolCreate(rooms.parts.pools, sql, wish, tester));
    assert.equal(view.state, 'succeeded', view.problem?.detail);
    assert.equal(await homeOf(world, OWN), 's2');
    assert.equal((await readPool(world.store, OWN))?.contentBase, null);
    for (const { server } of await listNodes(world.store, { pool: OWN })) assert.equal(server, 's2');
    await assertConsistent(world);
    await moveBackAndForth(world);
  }, shared));

void test('while the server is away on which its files lie, a move is refused with its name', () =>
  withDeployedWorld(async (world) => {
    await ensureOwnPool(world);
    const away = await homeOf(world, OWN);
    await storeServerState(world.store, away, 'lost', 'no heartbeat for 12 s');
    const plan = () =>
      planMove(
        world.controller.rooms.parts.sites,
        'wordpress',
        newMoveSchema.parse({ to: OWN }),
        AbortSignal.timeout(10_000),
      );
    await assert.rejects(plan(), { code: 'site.other-server' });
  }, two));

void test('a pool is not put on a server that is not there or takes nothing', () =>
  withDeployedWorld(async (world) => {
    const begin = (server: string) => {
      const wish = newPoolSchema.parse({ name: 'third', app: 'wordpress', server });
      return world.begin((sql, { rooms }) => startPoolCreate(rooms.parts.pools, sql, wish, tester));
    };
    await assert.rejects(begin('nowhere'), { code: 'common.not-found' });
    await storeServerState(world.store, 's2', 'lost', 'no heartbeat for 12 s');
    await assert.rejects(begin('s2'), { code: 'common.invalid-input' });
    assert.equal(await readPool(world.store, 'third'), undefined);
  }, shared));

let copies = 0;
const moveTrial = {
  kind: 'site.move',
  async prepare(world: World) {
    await ensureOwnPool(world);
    const to = (await readSite(world.store, 'wordpress'))?.pool === OWN ? 'wordpress' : OWN;
    const wish = newMoveSchema.parse({ to });
    return (sql: Parameters<Parameters<World['begin']>[0]>[0], { rooms }: World['controller']) =>
      startSiteMove(rooms.parts.sites, sql, 'wordpress', wish, tester);
  },
};
describeTrials(
  'sites that cross servers, under faults',
  {
    'a move to another server or back': moveTrial,
    'a clone from another server': {
      kind: 'site.clone',
      async prepare(world) {
        await ensureOwnPool(world);
        if ((await readSite(world.store, 'wordpress'))?.pool !== OWN) await world.ended((await move(world, OWN)).id);
        copies += 1;
        const wish = newCloneSchema.parse({ name: `copy-${copies}`, hosts: [`copy-${copies}.example`] });
        return (sql, { rooms }) => startSiteClone(rooms.parts.sites, sql, 'wordpress', wish, tester);
      },
    },
  },
  two,
);
describeTrials('sites that change owners, under faults', { 'a move within the shared folder': moveTrial }, shared);

let twins = 0;
describeTrials(
  'all sites of a pool, under faults',
  {
    'the move of all sites to a pool on another server': {
      kind: 'pool.move-sites',
      namesAnew: true,
      // What has moved stays: after a failure the next call moves the rest.
      async check(world, view) {
        await assertConsistent(world);
        const { from } = view.params as { from: string };
        if (view.state === 'succeeded')
          assert.deepEqual(
            (await listSites(world.store, { pool: from })).map(({ name }) => name),
            [],
          );
      },
      async prepare(world) {
        const from = (await readSite(world.store, 'mediawiki'))?.pool ?? '';
        twins += 1;
        const server = (await homeOf(world, from)) === 's1' ? 's2' : 's1';
        const wish = newPoolSchema.parse({ name: `twin-${twins}`, app: 'mediawiki', size: 1, server });
        await world.run((sql, { rooms }) => startPoolCreate(rooms.parts.pools, sql, wish, tester));
        const to = newMoveSchema.parse({ to: wish.name });
        return (sql, { rooms }) => startMoveAll(rooms.parts.sites, sql, from, to, tester);
      },
    },
  },
  two,
);
