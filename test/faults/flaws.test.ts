// Servers that are heard and not well: an agent of another version, a clock that is off, a full disk, an Incus that is down. Each
// is said with what to do, nothing is lost, and nobody is fenced for it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findOrphans } from '../../src/deployment/doctor.ts';
import { startPoolScale } from '../../src/pools/scale.ts';
import { listNodes } from '../../src/pools/store.ts';
import { readServer } from '../../src/servers/store.ts';
import { assertConsistent } from './consistency.ts';
import { beSilent, chooseVictim, makeServers, soon, testify, watch } from './lost-server.ts';
import { tester, type World, withDeployedWorld } from './world.ts';

const options = { servers: makeServers(3), cluster: true };

async function ask(world: World, check: string) {
  const found = world.controller.rooms.checks.find(({ name }) => name === check);
  return (await found?.run(soon())) ?? assert.fail(`the doctor has no check ${check}`);
}

const listNames = async (world: World) => (await listNodes(world.store)).map(({ name }) => name);
const countOn = async (world: World, server: string) => (await listNodes(world.store, { server })).length;

async function scale(world: World, size: number): Promise<void> {
  const { pools } = world.controller.rooms.parts;
  const view = await world.run((sql) => startPoolScale(pools, sql, 'wordpress', size, tester));
  assert.equal(view.state, 'succeeded', view.problem?.detail);
}

const countFences = async (world: World): Promise<number> =>
  (await world.controller.platform.operations.list({ kind: 'server.fence' })).items.length;

void test('a server whose agent is of another version is lost and alive, says why, and is ready again when it is updated', () =>
  withDeployedWorld(async (world) => {
    const server = await chooseVictim(world);
    const nodes = await listNames(world);
    const agents = world.controller.rooms.simulatedAgents;
    // The agent ended and begins again, with the program of before.
    agents?.setConnected(server, false);
    world.agents.flaws.set(server, { protocol: 1 });
    world.agents.off.delete(server);
    await beSilent(world, server);
    // Its engine is away as well, which would be the end of any other.
    world.agents.hears = (_, other) => other !== server;
    await testify(world);
    await watch(world);
    await world.quiet();
    const lost = await readServer(world.store, server);
    assert.deepEqual([lost?.state, lost?.alive], ['lost', true], lost?.reason);
    assert.match(lost?.reason ?? '', /its agent is there and not let in: .* speaks protocol 1, the controller \d/);
    assert.match((await ask(world, 'servers')).detail, /speaks protocol 1/);
    assert.equal(await countFences(world), 0);
    assert.deepEqual(await listNames(world), nodes);
    world.agents.flaws.clear();
    world.agents.hears = () => true;
    await world.beat();
    await watch(world);
    assert.equal((await readServer(world.store, server))?.state, 'ready');
    await assertConsistent(world);
  }, options));

void test('a clock that is five minutes off, either way, is said and changes nothing', () =>
  withDeployedWorld(async (world) => {
    const server = await chooseVictim(world);
    for (const clockAheadMs of [300_000, -300_000]) {
      world.agents.flaws.set(server, { clockAheadMs });
      await world.beat();
      await watch(world);
      await world.quiet();
      assert.equal((await readServer(world.store, server))?.state, 'ready');
      const finding = await ask(world, 'clocks');
      assert.equal(finding.status, 'warn');
      const [, offS] = new RegExp(`${server} is (-?\\d+) s off`).exec(finding.detail) ?? assert.fail(finding.detail);
      // Give or take what the heartbeat was on its way.
      assert.ok(Math.abs(Number(offS) - clockAheadMs / 1000) <= 2, finding.detail);
    }
    assert.equal(await countFences(world), 0);
    const before = (await listNodes(world.store)).length;
    await scale(world, 5);
    assert.ok((await listNodes(world.store)).length > before);
    await assertConsistent(world);
  }, options));

void test('nothing new comes to a server with a full disk or storage pool, what is there serves on, and the doctor says what to do', () =>
  withDeployedWorld(async (world) => {
    const server = await chooseVictim(world);
    const before = await countOn(world, server);
    let size = 6;
    for (const [flaw, what] of [
      [{ diskFreeBytes: 2 ** 30 }, 'disk'],
      [{ storageFreeBytes: 2 ** 30 }, 'storage pool'],
    ] as const) {
      world.agents.flaws.set(server, flaw);
      await world.beat();
      size += 1;
      await scale(world, size);
      assert.equal(await countOn(world, server), before);
      assert.equal((await readServer(world.store, server))?.state, 'ready');
      const finding = await ask(world, 'disks');
      assert.equal(finding.status, 'fail');
      assert.match(finding.detail, new RegExp(`${server} has 1 % of its ${what} free`));
    }
    world.agents.flaws.clear();
    await world.beat();
    await scale(world, 10);
    assert.ok((await countOn(world, server)) > before);
    await assertConsistent(world);
  }, options));

void test('nothing new comes to a server whose Incus is down, what is there serves on, and it says so', () =>
  withDeployedWorld(async (world) => {
    const server = await chooseVictim(world);
    const before = await countOn(world, server);
    world.agents.hears = (_, other) => other !== server;
    await testify(world);
    await watch(world);
    const silent = await readServer(world.store, server);
    assert.deepEqual([silent?.state, silent?.isEngineSilent], ['ready', true]);
    const finding = await ask(world, 'servers');
    assert.equal(finding.status, 'warn');
    assert.match(finding.detail, new RegExp(`${server} is ready: its agent is heard, but its Incus does not answer`));
    // What it carries is not called missing for that.
    const parts = world.controller.rooms.parts.deployment;
    const { instances } = world.fleet;
    const list = async () => (await instances.list()).filter((one) => one.server !== server);
    const fleet = { ...parts.fleet, instances: { ...instances, list } };
    assert.deepEqual((await findOrphans({ ...parts, fleet }, soon())).missing, []);
    assert.match(silent?.reason ?? '', /its Incus does not answer .*: what runs there runs on/);
    await scale(world, 7);
    assert.equal(await countOn(world, server), before);
    assert.equal(await countFences(world), 0);
    world.agents.hears = () => true;
    await world.beat();
    await watch(world);
    assert.equal((await readServer(world.store, server))?.isEngineSilent, false);
    await assertConsistent(world);
  }, options));
