// Snapshots of sites: what a site held comes back whole, in its place or beside, and nothing is left half way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSiteClone } from '../../src/sites/clone.ts';
import { startSiteDelete } from '../../src/sites/delete.ts';
import { beginRestore } from '../../src/sites/snapshots/restore.ts';
import { beginDeleteSnapshot, beginSnapshot } from '../../src/sites/snapshots/snapshot.ts';
import { listSnapshots } from '../../src/sites/snapshots/store.ts';
import { readSite } from '../../src/sites/store.ts';
import { startSiteChange } from '../../src/sites/suspend.ts';
import { assertConsistent } from './consistency.ts';
import { filesOf, loginTo } from './site-data.ts';
import { describeTrials } from './trials.ts';
import { tester, type World, withDeployedWorld } from './world.ts';

const SITE = 'wordpress';

const take = (world: World, name = SITE) => endedWell(world, beginSnapshot(partsOf(world), name, tester));
const partsOf = (world: World) => world.controller.rooms.parts.sites;

async function endedWell(world: World, beginning: Promise<{ id: string }>): Promise<void> {
  const view = await world.ended((await beginning).id);
  assert.equal(view.state, 'succeeded', view.problem?.detail);
}

async function numbersOf(world: World, name = SITE): Promise<number[]> {
  const id = (await readSite(world.store, name))?.id ?? '';
  return (await listSnapshots(world.store, id)).map(({ number }) => number);
}

void test('a site is put back as it was, files and rows, and what it held before that is kept', () =>
  withDeployedWorld(async (world) => {
    const site = await loginTo(world, SITE);
    site.session.write('an order');
    const files = await filesOf(world, SITE);
    files.write('uploads/a.png', 'first');
    await take(world);
    site.session.write('nonsense');
    files.write('uploads/a.png', 'spoilt');
    files.write('uploads/b.png', 'new');
    await endedWell(world, beginRestore(partsOf(world), SITE, 1, tester));
    assert.deepEqual((await loginTo(world, SITE)).session.read(), ['an order']);
    assert.deepEqual(files.all(), { 'uploads/a.png': 'first' });
    assert.deepEqual(await numbersOf(world), [2, 1]);
    await endedWell(world, beginRestore(partsOf(world), SITE, 2, tester));
    assert.deepEqual((await loginTo(world, SITE)).session.read(), ['an order', 'nonsense']);
    assert.deepEqual(files.all(), { 'uploads/a.png': 'spoilt', 'uploads/b.png': 'new' });
    assert.equal((await readSite(world.store, SITE))?.state, 'ready');
    await assertConsistent(world);
  }));

void test('a restore that fails leaves the site as it was before, and no snapshot of its own', () =>
  withDeployedWorld(async (world) => {
    (await loginTo(world, SITE)).session.write('an order');
    const files = await filesOf(world, SITE);
    await take(world);
    (await loginTo(world, SITE)).session.write('a later order');
    files.write('uploads/b.png', 'new');
    await world.store.query(`UPDATE site_snapshot SET hosts = '{old.example}'`);
    world.controller.rooms.simulatedAgents?.setExec(() => ({ code: 3, stdout: '', stderr: 'broken' }));
    const view = await world.ended((await beginRestore(partsOf(world), SITE, 1, tester)).id);
    assert.deepEqual([view.state, view.problem?.code], ['recovered', 'site.rewrite-failed']);
    assert.deepEqual((await loginTo(world, SITE)).session.read(), ['an order', 'a later order']);
    assert.deepEqual(files.all(), { 'uploads/b.png': 'new' });
    assert.deepEqual(await numbersOf(world), [1]);
    await assertConsistent(world);
  }));

void test('a suspended site is restored and stays suspended', () =>
  withDeployedWorld(async (world) => {
    await take(world);
    await world.run((sql) => startSiteChange(partsOf(world), sql, 'suspend', SITE, tester));
    await endedWell(world, beginRestore(partsOf(world), SITE, 1, tester));
    assert.equal((await readSite(world.store, SITE))?.state, 'suspended');
    await assertConsistent(world);
  }));

void test('beside the site a snapshot becomes a site of its own, with what was then', () =>
  withDeployedWorld(async (world) => {
    const source = await loginTo(world, SITE);
    source.session.write('an order');
    (await filesOf(world, SITE)).write('uploads/a.png', 'first');
    await take(world);
    source.session.write('a later order');
    (await filesOf(world, SITE)).write('uploads/a.png', 'second');
    const wish = { name: 'then', hosts: ['then.example'], snapshot: 1 };
    await endedWell(
      world,
      world.begin((sql) => startSiteClone(partsOf(world), sql, SITE, wish, tester)),
    );
    assert.deepEqual((await loginTo(world, 'then')).session.read(), ['an order']);
    assert.deepEqual((await filesOf(world, 'then')).all(), { 'uploads/a.png': 'first' });
    assert.equal((await readSite(world.store, 'then'))?.mailHeld, true);
    await assertConsistent(world);
  }));

void test('a snapshot that is not there, or of a newer version than the pool has, is refused and nothing changes', () =>
  withDeployedWorld(async (world) => {
    await take(world);
    await assert.rejects(beginRestore(partsOf(world), SITE, 7, tester), { code: 'snapshot.none' });
    await assert.rejects(beginDeleteSnapshot(partsOf(world), SITE, 7, tester), { code: 'snapshot.none' });
    await world.store.query('UPDATE site_snapshot SET image_number = 99');
    await assert.rejects(beginRestore(partsOf(world), SITE, 1, tester), { code: 'snapshot.newer-image' });
    await world.store.query(`UPDATE site_snapshot SET pool = 'elsewhere', image_number = 1`);
    await assert.rejects(beginRestore(partsOf(world), SITE, 1, tester), { code: 'snapshot.elsewhere' });
    await world.store.query(`UPDATE site_snapshot SET pool = 'wordpress'`);
    await assertConsistent(world);
  }));

void test('the snapshots of a site go with it when it is purged', () =>
  withDeployedWorld(async (world) => {
    (await filesOf(world, SITE)).write('uploads/a.png', 'first');
    await take(world);
    await world.run((sql) => startSiteDelete(partsOf(world), sql, SITE, 3600, tester));
    const site = (await readSite(world.store, SITE))?.id ?? '';
    await world.run((sql, { platform }) => platform.operations.start(sql, 'site.purge', { site, name: SITE }, tester));
    assert.equal(await readSite(world.store, SITE), undefined);
    await assertConsistent(world);
  }));

describeTrials('snapshots under faults', {
  'a snapshot': {
    kind: 'site.snapshot',
    async prepare(world) {
      (await filesOf(world, SITE)).write('uploads/a.png', 'first');
      const { id = '' } = (await readSite(world.store, SITE)) ?? {};
      const params = { site: id, name: SITE, reason: 'a test', by: 'test' };
      return (sql, { platform }) => platform.operations.start(sql, 'site.snapshot', params, tester);
    },
  },
  'the deletion of a snapshot': {
    kind: 'site.delete-snapshot',
    async prepare(world) {
      await take(world);
      const [number = 0] = await numbersOf(world);
      const { id = '' } = (await readSite(world.store, SITE)) ?? {};
      const params = { site: id, name: SITE, number };
      return (sql, { platform }) => platform.operations.start(sql, 'site.delete-snapshot', params, tester);
    },
    check: async (world, view) => {
      // What was half deleted can only be deleted, and then nothing is left of it.
      const { number } = view.params as { number: number };
      if ((await numbersOf(world)).includes(number))
        await endedWell(world, beginDeleteSnapshot(partsOf(world), SITE, number, tester));
      await assertConsistent(world);
    },
  },
  'a restore': {
    kind: 'site.restore',
    async prepare(world) {
      const { id = '' } = (await readSite(world.store, SITE)) ?? {};
      if ((await numbersOf(world)).length === 0) await take(world);
      const number = (await numbersOf(world)).at(-1) ?? 0;
      const params = { site: id, name: SITE, number, before: 'ready', by: 'test' };
      return (sql, { platform }) => platform.operations.start(sql, 'site.restore', params, tester);
    },
  },
});
