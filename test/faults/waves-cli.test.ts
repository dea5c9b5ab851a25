// Waves as a person meets them: the command line against a whole controller over simulated engines.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBake } from '../../src/images/bake.ts';
import { healPools } from '../../src/pools/heal.ts';
import { advanceWaves } from '../../src/waves/advance.ts';
import { withCommandLine } from './command-line.ts';
import { tester, type World } from './world.ts';

async function turn(world: World, times = 8): Promise<void> {
  for (let left = times; left > 0; left -= 1) {
    await advanceWaves(world.controller.rooms.parts.waves, AbortSignal.timeout(10_000));
    await healPools(world.controller.rooms.parts.pools, AbortSignal.timeout(10_000));
    await world.quiet();
    await world.beat();
  }
}

void test('a wave is planned, begun, shown, stopped by a broken site, resumed, and each step says why', () =>
  withCommandLine(async (say, world) => {
    await world.run((sql, { rooms }) => startBake(rooms.parts.images, sql, 'wordpress', tester));
    const made = await say('site create second --app wordpress --host second.localhost');
    assert.equal(made.code, 0, made.err);
    assert.equal((await say('site label second plan=gold tier=a')).code, 0);
    assert.match((await say('site label second tier=')).out, /plan.*gold/);
    const wrong = await say('site label second gold');
    assert.deepEqual([wrong.code, wrong.err.includes('a label is key=value')], [2, true]);

    const plan = await say('wave create --pool wordpress --sites plan=gold --dry-run');
    assert.equal(plan.code, 0, plan.err);
    assert.match(plan.out, /1 sites of wordpress go from wordpress\/1 to wordpress\/2, 3 at once: plan=gold: 1 site/);
    assert.equal((await say('wave create --pool wordpress --sites plan=silver')).code, 1);
    assert.equal((await say('wave list')).out.split('\n').length, 2, 'nothing was begun');

    world.agents.readPage = ({ name, title }, _path, image) => ({
      status: name === 'second' && image === '2' ? 500 : 200,
      body: `<title>${title}</title>`,
    });
    const begun = await say(
      'wave create --pool wordpress --image 2 --canary second --percent 100 --stop-at 5% --no-wait',
    );
    assert.equal(begun.code, 0, begun.err);
    const id = begun.out.trim();
    await turn(world);
    const shown = await say(`wave show ${id}`);
    assert.match(shown.out, /is stopped: 1 of 1 sites up to the batch "canary" failed, more than 5 %/);
    assert.match(
      shown.out,
      /second +1 +failed +[\d.]+s +After its upgrade second is worse than before: \/ answered 200 before and 500 now/,
    );
    assert.match((await say(`why wave ${id}`)).out, /wave\.site-back: second was brought back: After its upgrade/);
    assert.match((await say('why site second')).out, /wave\.site-back/);
    assert.equal((await say(`wave watch ${id}`)).code, 1, 'a stopped wave is no success');
    const roll = await say('pool roll wordpress --image 2');
    assert.match(roll.err, /Some sites of wordpress are on wordpress\/2|a wave is not over/);

    world.agents.readPage = ({ title }) => ({ status: 200, body: `<title>${title}</title>` });
    for (const verb of [`resume ${id}`, `abort ${id} --back --accept-loss`]) {
      const rehearsed = await say(`wave ${verb} --dry-run`);
      assert.deepEqual([rehearsed.code, /Nothing was changed/.test(rehearsed.err)], [0, true], rehearsed.err);
      assert.match((await say(`wave show ${id}`)).out, /is stopped/, `only rehearsed: ${verb}`);
    }
    assert.equal((await say(`wave resume ${id} --no-wait`)).code, 0);
    await turn(world, 12);
    const done = await say(`wave watch ${id}`);
    assert.equal(done.code, 0, done.err);
    assert.match(done.out, /is done: wordpress\/2 has every site of the pool/);
    assert.match((await say('pool list')).out, /wordpress +ready +wordpress +serving +- +2 +- +2 +2 +2/);
    assert.equal((await say(`wave abort ${id}`)).code, 1, 'it is over');
  }));
