// What a site may use, changed while it serves: the edge, the nodes and the database each hear what is theirs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LimitChanges, startSetLimits } from '../../src/sites/limits.ts';
import { readSite } from '../../src/sites/store.ts';
import { assertConsistent } from './consistency.ts';
import { tester, type World, withDeployedWorld } from './world.ts';

const SITE = 'wordpress';
const limit = (world: World, changes: LimitChanges, site = SITE) =>
  world.run((sql, { rooms }) => startSetLimits(rooms.parts.sites, sql, site, changes, tester));
const read = async (world: World) => (await readSite(world.store, SITE)) ?? assert.fail('there is no site');
const atEdge = (world: World) => {
  const host = world.agents.edge?.hosts.find((one) => one.host === 'wordpress.localhost');
  return [host?.requestsPerS, host?.connections];
};

void test('limits of the edge change there, and go back to what the app says', () =>
  withDeployedWorld(async (world) => {
    const before = await read(world);
    await limit(world, { requestsPerS: 7, connections: 3 });
    assert.deepEqual(atEdge(world), [7, 3]);
    const after = await read(world);
    assert.deepEqual(after.limits, { ...before.limits, requestsPerS: 7, connections: 3 });
    await limit(world, { requestsPerS: null });
    assert.deepEqual(atEdge(world), [before.limits.requestsPerS, 3]);
    await assertConsistent(world);
  }));

void test('limits of PHP reach the nodes in a new version, those of the database its account', () =>
  withDeployedWorld(async (world) => {
    const before = await read(world);
    await limit(world, { phpWorkers: 2, databaseConnections: 9 });
    const after = await read(world);
    assert.ok(after.configVersion > before.configVersion);
    assert.deepEqual([after.limits.phpWorkers, after.limits.databaseConnections], [2, 9]);
    await assertConsistent(world);
  }));

void test('a site that there is not, or that is being changed, is not limited', () =>
  withDeployedWorld(async (world) => {
    await assert.rejects(limit(world, { connections: 3 }, 'nowhere'), { code: 'common.not-found' });
    await world.store.query(`UPDATE site SET state = 'archived' WHERE name = $1`, [SITE]);
    await assert.rejects(limit(world, { connections: 3 }), { code: 'site.wrong-state' });
  }));
