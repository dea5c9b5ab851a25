// A clone has its source's data at one moment, accounts and secrets of its own, and leaves the source as it was.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSiteClone } from '../../src/sites/clone.ts';
import { readSite } from '../../src/sites/store.ts';
import { startSiteChange } from '../../src/sites/suspend.ts';
import { assertConsistent } from './consistency.ts';
import { loginTo } from './site-data.ts';
import { tester, type World, withDeployedWorld } from './world.ts';

const clone = (world: World, name: string, hosts: string[]) =>
  world.begin((sql, { rooms }) => startSiteClone(rooms.parts.sites, sql, 'wordpress', { name, hosts }, tester));

void test('a clone has the data of its source, a database server with it, new secrets, and its mail held back', () =>
  withDeployedWorld(async (world) => {
    const source = await loginTo(world, 'wordpress');
    source.session.write('an order');
    assert.equal((await world.ended((await clone(world, 'trial', ['trial.example'])).id)).state, 'succeeded');
    source.session.write('a later order');
    const copy = await loginTo(world, 'trial');
    assert.deepEqual(copy.session.read(), ['an order']);
    assert.notEqual(copy.password, source.password);
    assert.equal(copy.site.databaseServer, source.site.databaseServer);
    assert.equal(copy.site.clonedFrom, source.site.id);
    assert.deepEqual([copy.site.mailHeld, source.site.mailHeld], [true, false]);
    await assertConsistent(world);
  }));

void test('the app rewrites the links from every host of the source to the new address', () =>
  withDeployedWorld(async (world) => {
    const commands: string[] = [];
    world.controller.rooms.simulatedAgents?.setExec((argv) => {
      commands.push(argv.join(' '));
      return { code: 0, stdout: '', stderr: '' };
    });
    await world.ended((await clone(world, 'trial', ['trial.example'])).id);
    assert.ok(commands.includes('/usr/lib/espalier/rewrite-links --skip=posts.guid'), commands.join('\n'));
    world.controller.rooms.simulatedAgents?.setExec(([program = '']) => ({
      ...{ stdout: '', stderr: 'no such program' },
      code: program.endsWith('rewrite-links') ? 127 : 0,
    }));
    const failed = await world.ended((await clone(world, 'second', ['second.example'])).id);
    assert.equal(failed.problem?.code, 'site.rewrite-failed');
    assert.equal(await readSite(world.store, 'second'), undefined);
    await assertConsistent(world);
  }));

void test('a name or host that is taken, and a source that is being deleted, are refused before anything exists', () =>
  withDeployedWorld(async (world) => {
    await assert.rejects(clone(world, 'mediawiki', ['a.example']), { code: 'site.taken' });
    await assert.rejects(clone(world, 'trial', ['mediawiki.localhost']), { code: 'site.host-taken' });
    await world.run((sql, { rooms }) => startSiteChange(rooms.parts.sites, sql, 'suspend', 'wordpress', tester));
    assert.equal((await world.ended((await clone(world, 'trial', ['a.example'])).id)).state, 'succeeded');
    await world.store.query(`UPDATE site SET state = 'archived' WHERE name = 'wordpress'`);
    await assert.rejects(clone(world, 'trial2', ['b.example']), { code: 'site.wrong-state' });
  }));
