// Tasks as a person meets them: the command line against a whole controller over simulated engines.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withCommandLine } from './command-line.ts';
import type { World } from './world.ts';

/** What the loops do in earnest, once; then the runs that were begun have ended and are recorded. */
async function turn(world: World): Promise<void> {
  const { sequencer } = world.controller.rooms;
  await world.beat();
  await sequencer.tick();
  await sequencer.choose();
  await sequencer.idle();
}
async function finish(world: World): Promise<void> {
  world.clock.skip(1_000);
  await world.beat();
}

void test('a task is added, run by hand, followed, explained, paused and removed', () =>
  withCommandLine(async (say, world) => {
    assert.match((await say('task list')).out, /^wordpress\/cron +due +every 5 min +normal +\S+Z +-$/m);
    const added = await say('task add wordpress/report --every 1h --class bulk -- php report.php --all');
    assert.match(added.out, /^schedule: every 1 h$/m);
    assert.match(added.out, /^ {2}- php\n {2}- report\.php\n {2}- --all$/m);
    assert.match((await say('task logs wordpress/report')).err, /wordpress\/report has not run yet\./);

    const begun = await say('task run wordpress/report');
    const id = /^id: (\d+)$/m.exec(begun.out)?.[1] ?? '';
    // The order of service asks for servers that were heard of just now.
    await world.beat();
    assert.match((await say(`why run ${id}`)).out, /^state {4}queued: run \d+ is next in the order of service$/m);
    assert.match((await say('task run wordpress/report')).err, /\(task\.pending\)/);
    await turn(world);
    assert.equal((await say('task logs wordpress/report')).out, 'simulated: php report.php --all\n');
    await finish(world);
    assert.match((await say('task history wordpress/report')).out, /succeeded .* ended with exit code 0\n$/);
    const why = (await say(`why run ${id}`)).out;
    assert.match(why, /^state {4}succeeded: ended with exit code 0\nplace {4}\S+: the only one of its pool with room;/);
    assert.equal((await say('task logs wordpress/report')).out, 'simulated: php report.php --all\n');

    assert.match((await say('task pause wordpress/report')).out, /^state: paused\nreason: paused by /m);
    assert.match((await say('task resume wordpress/report')).out, /^state: due$/m);
    assert.equal((await say('task remove wordpress/report')).code, 0);
    for (const gone of ['task show wordpress/report', 'why task wordpress/nothing'])
      assert.match((await say(gone)).err, /There is no task named "wordpress\/\w+"/);
    assert.match((await say('why run 4711')).err, /\(task\.no-run\)/);
  }));

void test('a run that was cancelled before it began never begins, and says by whom; a site has its share; the doctor and the alerts are quiet', () =>
  withCommandLine(async (say, world) => {
    await say('task add wordpress/long -- sleep 60');
    await say('task run wordpress/long');
    assert.equal((await say('task cancel wordpress/long')).code, 0);
    await turn(world);
    assert.match((await say('task history wordpress/long')).out, /cancelled .* cancelled by /);
    assert.match((await say('share set wordpress --runs 3 --weight 2')).out, /^weight: 2\nmostRuns: 3$/m);
    assert.match((await say('share list')).out, /^wordpress +3 +2 +0 +0$/m);
    assert.match((await say('share set wordpress --runs 0')).out, /^mostRuns: null$/m);
    assert.equal((await say('alert list')).out, 'ID  AGE  SENTENCE  TOLD BY  OVER\n');
    const doctor = (await say('doctor')).out;
    assert.match(doctor, /^✓ tasks +none needs attention, none is overdue; 0 wait, 0 run$/m);
    assert.match(doctor, /^✓ alerts +people are told nowhere but here$/m);
  }));

void test('what needs attention is in the list and in `why`, and taken off by resuming', () =>
  withCommandLine(async (say, world) => {
    const attention = { run: 7, cause: 'failed', sentence: 'ended with exit code 9', since: '2026-11-21T10:00:00Z' };
    await world.store.query(
      `UPDATE task SET attention = $1::jsonb WHERE name = 'cron' AND site IN (SELECT id FROM site WHERE name = 'wordpress')`,
      [JSON.stringify(attention)],
    );
    assert.match((await say('task list --filter attention=true')).out, /^wordpress\/cron .* ended with exit code 9$/m);
    const why = (await say('why task wordpress/cron')).out;
    assert.match(why, /needs attention since 2026-11-21 10:00:00 UTC: ended with exit code 9 \(run 7\); due next at /);
    assert.match((await say('task resume wordpress/cron')).out, /^attention: null$/m);
    assert.doesNotMatch((await say('task list --filter attention=true')).out, /cron/);
  }));
