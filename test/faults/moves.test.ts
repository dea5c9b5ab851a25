// Sites on their way between pools, sites with code of their own and limits of nodes: under faults, and what must hold at
// every moment of a move.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { planCode, startCodeBake } from '../../src/images/code-bake.ts';
import { startSeedCreate } from '../../src/images/seed-create.ts';
import { startSeedDelete } from '../../src/images/seed-delete.ts';
import { readSeed } from '../../src/images/seed-store.ts';
import { listImages } from '../../src/images/store.ts';
import { newPoolSchema, startPoolCreate } from '../../src/pools/create.ts';
import { startPoolDelete } from '../../src/pools/delete.ts';
import { healPools } from '../../src/pools/heal.ts';
import { startPoolLimit } from '../../src/pools/limits.ts';
import { planPoolCreate, planPoolDelete, planPoolScale } from '../../src/pools/plan.ts';
import { newRollSchema, planRoll } from '../../src/pools/roll/start.ts';
import { startPoolScale } from '../../src/pools/scale.ts';
import { listNodes, readPool } from '../../src/pools/store.ts';
import { runNow } from '../../src/sequencer/stop.ts';
import { readTask } from '../../src/sequencer/task-store.ts';
import { newSiteSchema, startSiteCreate } from '../../src/sites/admit.ts';
import { newCloneSchema, planClone, startSiteClone } from '../../src/sites/clone.ts';
import { startSiteMove } from '../../src/sites/move.ts';
import { newMoveSchema, planMove } from '../../src/sites/plan-move.ts';
import { startStaging } from '../../src/sites/stage.ts';
import { readSite } from '../../src/sites/store.ts';
import { startUnstaging } from '../../src/sites/unstage.ts';
import { assertConsistent } from './consistency.ts';
import { describeTrials } from './trials.ts';
import { tester, type World, withDeployedWorld } from './world.ts';

const OWN = 'wordpress-own';

async function ensureOwnPool(world: World): Promise<void> {
  if ((await readPool(world.store, OWN)) !== undefined) return;
  const wish = newPoolSchema.parse({ name: OWN, dedicatedTo: 'wordpress', size: 1 });
  await world.run((sql, { rooms }) => startPoolCreate(rooms.parts.pools, sql, wish, tester));
}

const move = (world: World, to: string) =>
  world.begin((sql, { rooms }) =>
    startSiteMove(rooms.parts.sites, sql, 'wordpress', newMoveSchema.parse({ to }), tester),
  );

const folders: string[] = [];
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));
async function makeCode(text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-code-'));
  folders.push(folder);
  await writeFile(join(folder, 'plugin.php'), text);
  return folder;
}

async function bakeCode(world: World, text: string): Promise<{ id: string }> {
  const site = await readSite(world.store, 'wordpress');
  if (site === undefined) throw new Error('there is no site');
  const { images } = world.controller.rooms.parts;
  const params = await planCode(images, world.store, site, { from: await makeCode(text) });
  return world.begin((sql, { rooms }) => startCodeBake(rooms.parts.images, sql, params, tester));
}

void test('a site moves to nodes of its own and back, and takes its files along', () =>
  withDeployedWorld(async (world) => {
    await ensureOwnPool(world);
    const site = await readSite(world.store, 'wordpress');
    for (const to of [OWN, 'wordpress']) {
      assert.equal((await world.ended((await move(world, to)).id)).state, 'succeeded');
      const now = await readSite(world.store, 'wordpress');
      assert.deepEqual([now?.pool, now?.movingTo, now?.held, now?.state], [to, null, null, 'ready']);
      assert.ok(world.agents.content.has(`${to}/${site?.id}`));
      await assertConsistent(world);
    }
  }));

void test('at every moment the edges send visitors to one pool, and only its nodes have PHP once they are let go', () =>
  withDeployedWorld(async (world) => {
    await ensureOwnPool(world);
    const id = (await readSite(world.store, 'wordpress'))?.id;
    const seen: string[] = [];
    world.onCall = (call) => {
      const host = world.agents.edge?.hosts.find(({ site }) => site === id);
      const open = [...world.agents.applied].filter(([, sites]) =>
        sites.some(({ site, state }) => site === id && state === 'ready'),
      );
      const served = open.some(([node]) => node.startsWith(`${host?.pool}-`));
      if (host?.state === 'ready') assert.ok(served, `${call}: visitors are sent to ${host.pool}, which is closed`);
      const now = `${host?.state} ${host?.pool}`;
      if (seen.at(-1) !== now) seen.push(now);
      // The last copy: nobody but the new pool may have PHP for it.
      if (call.includes('exec') && host?.state === 'held' && call.includes('carry-'))
        assert.ok(
          open.every(([node]) => node.startsWith(OWN)),
          `${call}: the old pool may still write`,
        );
    };
    assert.equal((await world.ended((await move(world, OWN)).id)).state, 'succeeded');
    assert.deepEqual(seen, ['ready wordpress', 'held wordpress', `ready ${OWN}`]);
  }));

void test('nobody else lives on a dedicated pool, and it is deleted only when its site has left', () =>
  withDeployedWorld(async (world) => {
    await ensureOwnPool(world);
    const { sites, pools } = world.controller.rooms.parts;
    const wish = newSiteSchema.parse({ name: 'other', app: 'wordpress', hosts: ['other.example'], pool: OWN });
    await assert.rejects(
      world.begin((sql) => startSiteCreate(sites, sql, wish, tester)),
      { code: 'pool.other-site' },
    );
    await assert.rejects(move(world, 'wordpress'), { code: 'site.same-pool' });
    await assert.rejects(move(world, 'mediawiki'), { code: 'site.wrong-pool' });
    await assert.rejects(move(world, 'nowhere'), { code: 'common.not-found' });
    const remove = () => world.begin((sql) => startPoolDelete(pools, sql, { name: OWN, deleteBackups: false }, tester));
    const { id } = await move(world, OWN);
    await assert.rejects(remove(), { code: 'pool.in-use' });
    assert.equal((await world.ended(id)).state, 'succeeded');
    await assert.rejects(remove(), { code: 'pool.in-use' });
    await world.ended((await move(world, 'wordpress')).id);
    assert.equal((await world.ended((await remove()).id)).state, 'succeeded');
    await assertConsistent(world);
  }));

void test("a site's own code makes an image that no other pool may have, and says where it came from", () =>
  withDeployedWorld(async (world) => {
    await ensureOwnPool(world);
    assert.equal((await world.ended((await bakeCode(world, 'one')).id)).state, 'succeeded');
    const [image] = await listImages(world.store, 'wordpress');
    const site = await readSite(world.store, 'wordpress');
    assert.equal(image?.ownSite, site?.id);
    assert.match(image?.code?.commit ?? '', /^sha256:/);
    const { pools } = world.controller.rooms.parts;
    const wish = newRollSchema.parse({});
    assert.equal((await planRoll(pools, world.store, OWN, wish)).params.to, image?.number);
    await assert.rejects(planRoll(pools, world.store, 'wordpress', wish), { code: 'pool.has-image' });
    const named = newRollSchema.parse({ image: image?.number });
    await assert.rejects(planRoll(pools, world.store, 'wordpress', named), { code: 'image.of-site' });
    await assertConsistent(world);
  }));

void test('the limits of a pool are on the nodes that live and on those that come', () =>
  withDeployedWorld(async (world) => {
    const limit = (wish: Parameters<typeof startPoolLimit>[3]) =>
      world.run((sql, { rooms }) => startPoolLimit(rooms.parts.pools, sql, 'wordpress', wish, tester));
    await limit({ cpus: 1.5, memoryMb: 512, processes: 300 });
    const read = async () => {
      const [node] = await listNodes(world.store, { pool: 'wordpress' });
      return (await world.fleet.instances.read(node?.name ?? ''))?.config;
    };
    assert.equal((await read())?.['limits.cpu.allowance'], '150ms/100ms');
    await limit({ memoryMb: null, processes: 200 });
    assert.deepEqual((await readPool(world.store, 'wordpress'))?.limits, { cpus: 1.5, processes: 200 });
    assert.deepEqual([(await read())?.['limits.memory'], (await read())?.['limits.processes']], [undefined, '200']);
    await assert.rejects(limit({ diskGib: 4 }), { code: 'pool.disk-shrinks' });
  }));

void test('a dry run says where and why, changes nothing, and is refused as the change would be', () =>
  withDeployedWorld(async (world) => {
    await ensureOwnPool(world);
    const { pools, sites } = world.controller.rooms.parts;
    const signal = AbortSignal.timeout(30_000);
    const rows = () =>
      world.store.query(`SELECT (SELECT count(*) FROM pool) AS p, (SELECT count(*) FROM site) AS s,
        (SELECT count(*) FROM operation) AS o, (SELECT count(*) FROM secret) AS x, (SELECT count(*) FROM event) AS e`);
    const before = await rows();
    const create = newPoolSchema.parse({ name: 'two', app: 'wordpress', size: 3 });
    assert.match((await planPoolCreate(pools, create, tester)).plan.join(' '), /3 nodes of wordpress\/1.*3 nodes on /);
    assert.match((await planPoolScale(pools, 'wordpress', 1, tester)).plan.join(' '), /leaves/);
    assert.match((await planPoolDelete(pools, { name: OWN, deleteBackups: false }, tester)).plan[0] ?? '', /1 node/);
    await assert.rejects(planPoolDelete(pools, { name: 'wordpress', deleteBackups: false }, tester), {
      code: 'pool.in-use',
    });
    const copy = newCloneSchema.parse({ name: 'trial', hosts: ['trial.example'] });
    assert.deepEqual((await planClone(sites, 'wordpress', copy, tester, signal)).sites, ['wordpress']);
    const { plan, pauseS } = await planMove(sites, 'wordpress', newMoveSchema.parse({ to: OWN }), signal);
    assert.match(plan.join(' '), /wordpress goes from the pool wordpress to wordpress-own/);
    assert.ok(pauseS > 0 && pauseS < 5);
    assert.deepEqual(await rows(), before);
  }));

void test('a run that waits when its site moves is taken back and due at once on the new pool', () =>
  withDeployedWorld(async (world) => {
    await ensureOwnPool(world);
    const { sequencer } = world.controller.rooms;
    const site = (await readSite(world.store, 'wordpress'))?.id ?? '';
    const task = await readTask(world.store, `${site}/cron`);
    assert.ok(task !== undefined);
    await runNow(sequencer.parts, task, tester);
    assert.equal((await world.ended((await move(world, OWN)).id)).state, 'succeeded');
    const [now] = await world.store.query<{ due: boolean; closed: boolean; waiting: number }>(
      `SELECT next_at <= now() AS due, site_closed AS closed, (SELECT count(*)::int FROM run WHERE site = $1) AS waiting
       FROM task WHERE site = $1 AND name = 'cron'`,
      [site],
    );
    assert.deepEqual(now, { due: true, closed: false, waiting: 0 });
    const [ended] = await world.store.query<{ state: string; why: string }>('SELECT state, why FROM run_history');
    assert.equal(ended?.state, 'cancelled');
    assert.match(ended?.why ?? '', /due again/);
  }));

const staging = { site: 'mediawiki', hosts: ['next.example'] };
async function ensureSeed(world: World): Promise<void> {
  if ((await readSeed(world.store, 'next')) !== undefined) return;
  const wish = { name: 'next', app: 'mediawiki' };
  await world.run((sql, { rooms }) => startSeedCreate(rooms.parts.images, sql, wish, tester));
}
const unstage = (world: World) => world.run((sql, { rooms }) => startUnstaging(rooms.parts.sites, sql, 'next', tester));

void test('a copy on a seed is served from it with mail and hooks held, nobody heals it, and the seed outlives it', () =>
  withDeployedWorld(async (world) => {
    await ensureSeed(world);
    const { sites, images, pools } = world.controller.rooms.parts;
    const ended = await world.run((sql) => startStaging(sites, sql, 'next', staging, tester));
    assert.equal(ended.state, 'succeeded', ended.problem?.detail);
    const copy = await readSite(world.store, 'mediawiki-next');
    assert.deepEqual([copy?.pool, copy?.mailHeld, copy?.hooksHeld], ['seed-next', true, true]);
    assert.equal(world.agents.edge?.hosts.find(({ host }) => host === 'next.example')?.pool, 'seed-next');
    await assertConsistent(world);
    await assert.rejects(
      world.begin((sql) => startSeedDelete(images, sql, 'next', tester)),
      { code: 'image.seed-stages' },
    );
    await assert.rejects(
      world.begin((sql) => startPoolScale(pools, sql, 'seed-next', 2, tester)),
      { code: 'pool.not-ready' },
    );
    await world.fleet.instances.stop('seed-next', { force: true });
    await healPools(pools, AbortSignal.timeout(10_000));
    assert.equal((await listNodes(world.store, { pool: 'seed-next' })).length, 1);
    await world.fleet.instances.start('seed-next');
    assert.equal((await unstage(world)).state, 'succeeded');
    assert.deepEqual((await world.fleet.instances.read('seed-next'))?.devices, { eth0: { kind: 'nic' } });
    await assertConsistent(world);
  }));

let copies = 0;
describeTrials('moves and own code under faults', {
  'a move to a dedicated pool or back': {
    kind: 'site.move',
    async prepare(world) {
      await ensureOwnPool(world);
      const to = (await readSite(world.store, 'wordpress'))?.pool === OWN ? 'wordpress' : OWN;
      return (sql, { rooms }) =>
        startSiteMove(rooms.parts.sites, sql, 'wordpress', newMoveSchema.parse({ to }), tester);
    },
  },
  'a clone from a dedicated pool to a shared one': {
    kind: 'site.clone',
    async prepare(world) {
      await ensureOwnPool(world);
      if ((await readSite(world.store, 'wordpress'))?.pool !== OWN) await world.ended((await move(world, OWN)).id);
      copies += 1;
      const wish = newCloneSchema.parse({ name: `copy-${copies}`, hosts: [`copy-${copies}.example`] });
      return (sql, { rooms }) => startSiteClone(rooms.parts.sites, sql, 'wordpress', wish, tester);
    },
  },
  'a copy put on a seed': {
    kind: 'seed.stage',
    async prepare(world) {
      await ensureSeed(world);
      if ((await readPool(world.store, 'seed-next')) !== undefined) await unstage(world);
      return (sql, { rooms }) => startStaging(rooms.parts.sites, sql, 'next', staging, tester);
    },
  },
  'a copy taken off its seed': {
    kind: 'seed.unstage',
    async prepare(world) {
      await ensureSeed(world);
      // What a run that failed left half removed is removed by the next.
      const isWhole = (await readSite(world.store, 'mediawiki-next'))?.state === 'ready';
      if (!isWhole && (await readPool(world.store, 'seed-next')) !== undefined) await unstage(world);
      if (!isWhole) await world.run((sql, { rooms }) => startStaging(rooms.parts.sites, sql, 'next', staging, tester));
      return (sql, { rooms }) => startUnstaging(rooms.parts.sites, sql, 'next', tester);
    },
  },
  'the bake of own code': {
    kind: 'code.bake',
    async prepare(world) {
      const site = await readSite(world.store, 'wordpress');
      if (site === undefined) throw new Error('there is no site');
      const wish = { from: await makeCode('code') };
      const params = await planCode(world.controller.rooms.parts.images, world.store, site, wish);
      return (sql, { rooms }) => startCodeBake(rooms.parts.images, sql, params, tester);
    },
  },
  'a change of limits': {
    kind: 'pool.limit',
    async prepare() {
      return (sql, { rooms }) => startPoolLimit(rooms.parts.pools, sql, 'wordpress', { processes: 200 }, tester);
    },
  },
});
