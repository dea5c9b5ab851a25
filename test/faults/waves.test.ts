// Waves under faults: each site has old code with old tables or new code with new tables, and nothing between, whatever
// fails and whoever dies. Then what people see of waves: canaries, stops, the way on and the way back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBake } from '../../src/images/bake.ts';
import { listImages } from '../../src/images/store.ts';
import type { OperationView } from '../../src/platform/operations/operation.ts';
import { newPoolSchema, startPoolCreate } from '../../src/pools/create.ts';
import { healPools } from '../../src/pools/heal.ts';
import { newRollSchema, planRoll } from '../../src/pools/roll/start.ts';
import { listNodes, readPool } from '../../src/pools/store.ts';
import { listRunNodes } from '../../src/sequencer/choose.ts';
import { newSiteSchema, startSiteCreate } from '../../src/sites/admit.ts';
import { secretsOf } from '../../src/sites/parts.ts';
import { listSnapshots } from '../../src/sites/snapshots/store.ts';
import { removeSnapshot } from '../../src/sites/snapshots/take.ts';
import { listSites, readSite, type SiteRow } from '../../src/sites/store.ts';
import { startSiteChange } from '../../src/sites/suspend.ts';
import { advanceWaves } from '../../src/waves/advance.ts';
import { abortWave, newWaveSchema, pauseWave, planWave, resumeWave, startWave } from '../../src/waves/start.ts';
import { listWaveSites, readOpenWave, readWave, readWaveSite, storeWaveSite } from '../../src/waves/store.ts';
import { assertConsistent } from './consistency.ts';
import { describeTrials, type Trial } from './trials.ts';
import { tester, type World, withDeployedWorld } from './world.ts';

const POOL = 'wordpress';
const UPGRADE = '/usr/lib/espalier/app/upgrade';

async function bakeSecond(world: World): Promise<void> {
  if ((await listImages(world.store, POOL)).length > 1) return;
  const view = await world.run((sql, { rooms }) => startBake(rooms.parts.images, sql, POOL, tester));
  if (view.state !== 'succeeded') throw new Error(`the bake ended ${view.state}: ${view.problem?.detail}`);
}

async function need(world: World, name: string): Promise<SiteRow & { databaseServer: string }> {
  const site = await readSite(world.store, name);
  if (site?.databaseServer == null) throw new Error(`there is no site ${name}`);
  return { ...site, databaseServer: site.databaseServer };
}

/** Does something as the site at its database. */
async function atDatabase<T>(
  world: World,
  name: string,
  work: (session: { write(note: string): void; read(): string[] }) => T,
): Promise<T> {
  const site = await need(world, name);
  const key = `${secretsOf(site.id)}database-password`;
  const { [key]: password = '' } = await world.controller.platform.secrets.readAll(world.store, secretsOf(site.id));
  const session = world.databases.get(`database-${site.databaseServer}`)?.login(site.id, password, site.id);
  if (session === undefined) throw new Error(`${name} has no database server`);
  try {
    return work(session);
  } finally {
    session.close();
  }
}

const readTables = (world: World, name: string): Promise<string[]> =>
  atDatabase(world, name, (session) => session.read());

/** The app's upgrade writes `tables of 2` and fails in the sites named; on image 2 the pages of those named break. */
function dress(world: World, broken: { upgrade?: readonly string[]; pages?: readonly string[] } = {}): void {
  world.agents.readPage = ({ name, title }, path, image) =>
    image === '2' && broken.pages?.includes(name) === true
      ? { status: 200, body: `<title>${title}</title>Fatal error: it is broken` }
      : { status: 200, body: `<title>${title}</title><p>The page ${path} of ${title}` };
  world.controller.rooms.simulatedAgents?.setExec((argv, id) => {
    if (argv[0] !== UPGRADE) return { code: 0, stdout: '', stderr: '' };
    const fails = exec.names.get(id);
    upgraded.push(id);
    return fails !== undefined && broken.upgrade?.includes(fails) === true
      ? { code: 1, stdout: '', stderr: 'a table is in the way' }
      : { code: 0, stdout: 'upgraded', stderr: '' };
  });
}
const exec = { names: new Map<string, string>() };
const upgraded: string[] = [];

async function makeSites(world: World, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const wish = newSiteSchema.parse({ name, app: POOL, hosts: [`${name}.example`] });
    await world.run((sql, { rooms }) => startSiteCreate(rooms.parts.sites, sql, wish, tester));
  }
  for (const { id, name } of await listSites(world.store)) exec.names.set(id, name);
}

const withSites = (names: readonly string[], work: (world: World) => Promise<void>) =>
  withDeployedWorld(async (world) => {
    upgraded.length = 0;
    await bakeSecond(world);
    await makeSites(world, names);
    dress(world);
    await work(world);
  });

const begin = (world: World, wish: object = {}) =>
  world.begin((sql, { rooms }) =>
    startWave(rooms.parts.waves, sql, newWaveSchema.parse({ pool: POOL, image: 2, ...wish }), tester),
  );

/** One turn of what the controller does by itself. */
async function turn(world: World): Promise<void> {
  const { pools, waves } = world.controller.rooms.parts;
  await advanceWaves(waves, AbortSignal.timeout(10_000));
  await healPools(pools, AbortSignal.timeout(10_000));
  await world.quiet();
  await world.beat();
}

/** Turns until it is so. */
async function turnUntil(world: World, isSo: () => Promise<boolean>): Promise<void> {
  for (let left = 60; left > 0; left -= 1) {
    if (await isSo()) return;
    await turn(world);
  }
  throw new Error('it never came to that');
}

const isOver = (world: World, id: string) => async () => (await readWave(world.store, id))?.state !== 'running';
const isAlone = (world: World) => async () => (await readPool(world.store, POOL))?.otherGeneration === null;

async function readStates(world: World, id: string): Promise<Record<string, string>> {
  return Object.fromEntries((await listWaveSites(world.store, id)).map(({ name, state }) => [name, state]));
}

/** Each node knows the sites of its generation and no others, and edges send each host there. */
async function assertSides(world: World): Promise<void> {
  const sites = await listSites(world.store, { pool: POOL });
  for (const node of await listNodes(world.store, { pool: POOL })) {
    if (node.state !== 'ready') continue;
    const known = (world.agents.applied.get(node.name) ?? []).map(({ name }) => name).sort();
    const mine = sites.filter(({ generation }) => generation === node.generation).map(({ name }) => name);
    assert.deepEqual(known, mine, `the sites on ${node.name}`);
  }
  for (const { host, pool } of world.agents.edge?.hosts ?? []) {
    const site = sites.find(({ hosts }) => hosts.includes(host));
    if (site === undefined) continue;
    const servers = world.agents.edge?.pools.find(({ name }) => name === pool)?.servers ?? [];
    const nodes = (await listNodes(world.store, { pool: POOL })).filter(
      ({ generation }) => generation === site.generation,
    );
    assert.deepEqual(
      servers.map(({ name }) => name).sort(),
      nodes.map(({ name }) => name).sort(),
      `the nodes of ${host}`,
    );
  }
}

async function prepareOne(world: World): Promise<{ wave: string; site: SiteRow }> {
  await bakeSecond(world);
  if ((await readOpenWave(world.store, POOL)) === undefined) {
    await makeSites(world, ['late']);
    const { id } = await begin(world, { stopAtPercent: 100 });
    await world.begin(async (sql) => sql.query('UPDATE wave SET paused_by = $2 WHERE id = $1', [id, 'test']));
  }
  dress(world);
  await world.begin(async (sql) => sql.query('UPDATE pool SET other_wanted = 1 WHERE name = $1', [POOL]));
  await healPools(world.controller.rooms.parts.pools, AbortSignal.timeout(10_000));
  await world.quiet();
  const wave = await readOpenWave(world.store, POOL);
  if (wave === undefined) throw new Error('the wave is not there');
  return { wave: wave.id, site: await need(world, POOL) };
}

const paramsOf = (wave: string, site: SiteRow, to: number) => ({
  ...{ wave, site: site.id, name: site.name, image: `wordpress/${to + 1}`, from: site.generation, to },
  ...{ pages: ['/'], closed: false },
});

/** What a site is must be what its row says, code and tables together. */
async function checkOne(world: World, view: OperationView): Promise<void> {
  const { wave, site: id } = view.params as { wave: string; site: string };
  const site = await need(world, id);
  const row = await readWaveSite(world.store, wave, id);
  assert.equal(site.state, 'ready');
  // What could not be brought back is left as it is for a person.
  const isNew = row?.state === 'upgraded' || row?.state === 'stuck';
  assert.equal(site.generation, isNew ? 1 : 0, `it is ${row?.state}`);
  const notes = await readTables(world, id);
  assert.equal(notes.at(-1) === 'tables of 2', isNew, `${row?.state} with ${notes.join(', ')}`);
  if (view.state === 'succeeded') assert.equal(row?.state, view.kind === 'site.upgrade' ? 'upgraded' : 'returned');
  if (view.kind === 'site.upgrade' && row?.state === 'failed') {
    assert.deepEqual(await listSnapshots(world.store, id), [], 'no snapshot is left of what was brought back');
  }
  await assertSides(world);
  await assertConsistent(world);
}

/** The upgrade's tables, written when its command runs. */
function writeTables(world: World): void {
  const { simulatedAgents } = world.controller.rooms;
  simulatedAgents?.setExec((argv, id) => {
    const site = [...world.databases.values()];
    if (argv[0] === UPGRADE) for (const twin of site) twin.alter(id, (notes) => [...notes, 'tables of 2']);
    return { code: 0, stdout: '', stderr: '' };
  });
}

const upgradeTrial: Trial = {
  kind: 'site.upgrade',
  check: checkOne,
  async prepare(world) {
    const { wave, site } = await prepareOne(world);
    for (const twin of world.databases.values()) twin.alter(site.id, () => ['an order']);
    for (const one of await listSnapshots(world.store, site.id))
      await removeSnapshot(world.controller.rooms.parts.sites, one, AbortSignal.timeout(10_000));
    await world.begin(async (sql) => {
      await sql.query(
        'UPDATE site SET generation = 0, config_version = (SELECT version FROM config_clock) + 1 WHERE id = $1',
        [site.id],
      );
      await sql.query('UPDATE config_clock SET version = version + 1');
      await storeWaveSite(sql, { wave, site: site.id }, { state: 'waiting', reason: 'again', snapshot: null });
    });
    await world.resync();
    writeTables(world);
    return (sql, { platform }) =>
      platform.operations.start(sql, 'site.upgrade', paramsOf(wave, { ...site, generation: 0 }, 1), tester);
  },
};

const returnTrial: Trial = {
  kind: 'site.return',
  check: checkOne,
  async prepare(world) {
    const begin = await upgradeTrial.prepare(world);
    const view = await world.run(begin);
    assert.equal(view.state, 'succeeded', view.problem?.detail);
    const { wave, site: id } = view.params as { wave: string; site: string };
    const snapshot = (await readWaveSite(world.store, wave, id))?.snapshot ?? 0;
    const site = await need(world, id);
    return (sql, { platform }) =>
      platform.operations.start(sql, 'site.return', { ...paramsOf(wave, site, 0), snapshot }, tester);
  },
};

describeTrials('waves under faults', {
  'the upgrade of a site': upgradeTrial,
  'the return of a site': returnTrial,
});

void test('an upgrade that was cut off begins from the snapshot, and does not take its own half for the whole', () =>
  withSites(['a1'], async (world) => {
    await atDatabase(world, 'a1', (session) => session.write('an order'));
    const { id: site } = await need(world, 'a1');
    let runs = 0;
    world.agents.respond = ([program], of) => {
      if (program !== UPGRADE || of !== site) return { code: 0, stdout: '', stderr: '' };
      let isHalf = false;
      for (const twin of world.databases.values()) {
        twin.alter(site, (notes) => {
          isHalf = notes.includes('version 2');
          return [...notes, 'version 2'];
        });
      }
      runs += 1;
      if (runs === 1) world.crash();
      return isHalf ? { code: 0, stdout: '', stderr: '' } : { code: 1, stdout: '', stderr: 'a table is in the way' };
    };
    const { id } = await begin(world, { canaries: ['a1'] });
    await turnUntil(world, isOver(world, id));
    assert.equal(runs, 2);
    assert.equal((await readStates(world, id)).a1, 'failed');
    assert.deepEqual(await readTables(world, 'a1'), ['an order']);
    assert.equal((await need(world, 'a1')).generation, 0);
  }));

void test('once a site has opened nothing is put back, whatever fails then: a visitor may have entered something', () =>
  withSites(['a1'], async (world) => {
    const { id: site } = await need(world, 'a1');
    world.onPoint = ({ kind, step, when }) => {
      if (kind !== 'site.upgrade' || step !== 'tell' || when !== 'before-do') return;
      for (const twin of world.databases.values()) twin.alter(site, (notes) => [...notes, 'a comment']);
      throw new Error('the test made it fail');
    };
    const { id } = await begin(world, { canaries: ['a1'] });
    await turnUntil(world, async () => (await readStates(world, id)).a1 !== 'waiting');
    await pauseWave(world.controller.rooms.parts.waves, id, tester);
    assert.equal((await readStates(world, id)).a1, 'upgraded');
    assert.deepEqual(await readTables(world, 'a1'), ['a comment']);
    const { generation, state } = await need(world, 'a1');
    assert.deepEqual([generation, state], [1, 'ready']);
  }));

const NAMES = ['a1', 'a2', 'a3', 'a4', 'a5'];

void test('a wave upgrades every site, canaries first, and the pool has one image again', () =>
  withSites(NAMES, async (world) => {
    const { id } = await begin(world, { canaries: ['a4'], percents: [50, 100], checkPages: ['/', '/about'] });
    await turnUntil(world, async () => (await readWave(world.store, id))?.reason.startsWith('batch') === true);
    await assertSides(world);
    await turnUntil(world, isOver(world, id));
    const wave = await readWave(world.store, id);
    assert.equal(wave?.state, 'done', wave?.reason);
    assert.equal(exec.names.get(upgraded[0] ?? ''), 'a4', 'the canary goes first');
    assert.deepEqual(wave?.batches, ['canary', '50 %', '100 %']);
    assert.ok(Object.values(await readStates(world, id)).every((state) => state === 'upgraded'));
    await turnUntil(world, isAlone(world));
    const pool = await readPool(world.store, POOL);
    assert.deepEqual([pool?.imageNumber, pool?.generation], [2, 1]);
    const nodes = await listNodes(world.store, { pool: POOL });
    assert.deepEqual([...new Set(nodes.map(({ imageNumber }) => imageNumber))], [2]);
    assert.equal(nodes.length, pool?.wanted);
    assert.deepEqual([...(await listRunNodes(world.store)).keys()].sort(), ['mediawiki', 'wordpress.1']);
    for (const name of NAMES)
      assert.deepEqual(
        await listSnapshots(world.store, (await need(world, name)).id),
        [],
        'snapshots of a wave that is done',
      );
    await assertSides(world);
    await assertConsistent(world);
    // A site that comes now, and the next wave.
    await makeSites(world, ['after']);
    assert.equal((await need(world, 'after')).generation, 1);
  }));

void test('sites that break are as they were, others go on, and a later try takes them too', () =>
  withSites(NAMES, async (world) => {
    dress(world, { upgrade: ['a1'], pages: ['a3'] });
    const { id } = await begin(world, { percents: [100], stopAtPercent: 40 });
    await turnUntil(world, isOver(world, id));
    const wave = await readWave(world.store, id);
    assert.equal(wave?.state, 'done', wave?.reason);
    assert.match(wave?.reason ?? '', /4 sites; 2 are on wordpress\/1 as before/);
    const rows = await listWaveSites(world.store, id);
    assert.match(rows.find(({ name }) => name === 'a1')?.reason ?? '', /exit code 1: a table is in the way/);
    assert.match(rows.find(({ name }) => name === 'a3')?.reason ?? '', /says "fatal error" now/);
    assert.equal((await need(world, 'a1')).generation, 0);
    const pool = await readPool(world.store, POOL);
    assert.deepEqual([pool?.imageNumber, pool?.otherImage], [2, 1], 'new sites go to the new image');
    await turn(world);
    await assertSides(world);
    await assertConsistent(world);
    const { pools } = world.controller.rooms.parts;
    await assert.rejects(planRoll(pools, world.store, POOL, newRollSchema.parse({ image: 1 })), {
      code: 'pool.two-images',
    });
    dress(world);
    await resumeWave(world.controller.rooms.parts.waves, id, tester);
    await turnUntil(world, isOver(world, id));
    await turnUntil(world, isAlone(world));
    assert.equal((await need(world, 'a1')).generation, 1);
    await assertSides(world);
    await assertConsistent(world);
  }));

void test('a wave stops at its rate; what is upgraded stays, and aborted it goes back only if the loss is accepted', () =>
  withSites(NAMES, async (world) => {
    dress(world, { pages: ['a2'] });
    const { id } = await begin(world, { canaries: ['a1', 'a2'], atOnce: 1 });
    await turnUntil(world, isOver(world, id));
    const wave = await readWave(world.store, id);
    assert.equal(wave?.state, 'stopped');
    assert.equal(wave?.reason, '1 of 2 sites up to the batch "canary" failed, more than 5 %');
    const states = await readStates(world, id);
    assert.deepEqual([states.a1, states.a2, states.a3], ['upgraded', 'failed', 'waiting']);
    await assertSides(world);
    const { waves } = world.controller.rooms.parts;
    await assert.rejects(begin(world), { code: 'wave.under-way' });
    const back = { back: true, acceptLoss: false };
    await assert.rejects(abortWave(waves, id, back, tester), { code: 'wave.would-lose' });
    assert.equal((await readWave(world.store, id))?.state, 'stopped');
    await abortWave(waves, id, { ...back, acceptLoss: true }, tester);
    await turnUntil(world, isOver(world, id));
    assert.equal((await readWave(world.store, id))?.state, 'aborted');
    assert.equal((await readStates(world, id)).a1, 'returned');
    await turnUntil(world, isAlone(world));
    assert.equal((await readPool(world.store, POOL))?.imageNumber, 1);
    const [last] = await listSnapshots(world.store, (await need(world, 'a1')).id);
    assert.match(last?.reason ?? '', /before it was brought back/, 'what it was last is kept for people');
    await assertSides(world);
  }));

void test('a pause begins no other site, an abort leaves what is upgraded, and another wave goes on from there', () =>
  withSites(NAMES, async (world) => {
    const { waves } = world.controller.rooms.parts;
    const { id } = await begin(world, { canaries: ['a1'], percents: [100] });
    await turnUntil(world, async () => (await readStates(world, id)).a1 === 'upgraded');
    await pauseWave(waves, id, tester);
    for (let turns = 3; turns > 0; turns -= 1) await turn(world);
    assert.equal(
      Object.values(await readStates(world, id)).filter((state) => state === 'waiting').length,
      NAMES.length,
    );
    await abortWave(waves, id, { back: false, acceptLoss: false }, tester);
    await turnUntil(world, isOver(world, id));
    assert.match((await readWave(world.store, id))?.reason ?? '', /1 sites stay on wordpress\/2/);
    await turn(world);
    await assertSides(world);
    const next = await begin(world, { percents: [100] });
    await turnUntil(world, isOver(world, next.id));
    await turnUntil(world, isAlone(world));
    assert.equal((await readPool(world.store, POOL))?.imageNumber, 2);
    await assertSides(world);
  }));

void test('a suspended site follows with its code, and its tables are upgraded when it is resumed', () =>
  withSites(['a1'], async (world) => {
    await world.run((sql, { rooms }) => startSiteChange(rooms.parts.sites, sql, 'suspend', 'a1', tester));
    const { id } = await begin(world, { percents: [100] });
    await turnUntil(world, isOver(world, id));
    await turnUntil(world, isAlone(world));
    const { id: site, generation, upgradeOwed, state } = await need(world, 'a1');
    assert.deepEqual([generation, upgradeOwed, state], [1, true, 'suspended']);
    assert.ok(!upgraded.includes(site));
    const view = await world.run((sql, { rooms }) => startSiteChange(rooms.parts.sites, sql, 'resume', 'a1', tester));
    assert.equal(view.state, 'succeeded', view.problem?.detail);
    assert.ok(upgraded.includes(site));
    assert.equal((await need(world, 'a1')).upgradeOwed, false);
    await assertConsistent(world);
  }));

void test('workers follow: the tasks of an upgraded site run on nodes of its own image', () =>
  withSites(['a1'], async (world) => {
    const wish = newPoolSchema.parse({ name: 'workers', role: 'worker', worksFor: POOL, size: 1 });
    await world.run((sql, { rooms }) => startPoolCreate(rooms.parts.pools, sql, wish, tester));
    const { id } = await begin(world, { canaries: ['a1'], percents: [100] });
    await turnUntil(world, async () => (await readStates(world, id)).a1 === 'upgraded');
    const lanes = await listRunNodes(world.store);
    assert.deepEqual([...lanes.keys()].sort(), ['mediawiki', 'wordpress', 'wordpress.1']);
    for (const [key, image] of [
      ['wordpress', 1],
      ['wordpress.1', 2],
    ] as const) {
      const [name = ''] = [...(lanes.get(key)?.values() ?? [])].flat();
      const node = (await listNodes(world.store)).find((one) => one.name === name);
      assert.deepEqual([node?.pool, node?.imageNumber], ['workers', image]);
    }
    await turnUntil(world, isOver(world, id));
    await turnUntil(world, async () => (await readPool(world.store, 'workers'))?.otherGeneration === null);
    assert.equal((await readPool(world.store, 'workers'))?.imageNumber, 2);
  }));

void test('what cannot be is refused before anything changes, and a plan says what would be done', () =>
  withSites(['a1'], async (world) => {
    const { waves } = world.controller.rooms.parts;
    const plan = (wish: object) => planWave(waves, world.store, newWaveSchema.parse({ pool: POOL, image: 2, ...wish }));
    await assert.rejects(plan({ image: 1 }), { code: 'wave.has-image' });
    await assert.rejects(plan({ image: 7 }), { code: 'image.gone' });
    await assert.rejects(plan({ pool: 'nobody' }), { code: 'common.not-found' });
    await assert.rejects(plan({ canaries: ['nobody'] }), { code: 'wave.unknown-canary' });
    await assert.rejects(plan({ labels: ['plan=gold'] }), { code: 'wave.no-sites' });
    assert.match((await plan({})).sentences[0] ?? '', /^2 sites of wordpress go from wordpress\/1 to wordpress\/2/);
    assert.equal((await readPool(world.store, POOL))?.otherGeneration, null);
  }));
