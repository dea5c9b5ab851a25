// Tasks from a person and from recipes, sites that close and open, refusals, breaker, brownout, alerts and the reasons: over
// the real SQL on both engines.
import assert from 'node:assert/strict';
import { makeStage } from '../../test/simulation/stage.ts';
import { addTasks, makeTaskRow, readHistory, readRuns, siteId, taskId } from '../../test/simulation/world.ts';
import { Problem } from '../lib/errors.ts';
import type { Store } from '../platform/store.ts';
import { withStores } from '../platform/test-store.ts';
import { listAlerts, runAlerts } from './alerts.ts';
import { runBrownout } from './brownout.ts';
import { keepHistory } from './history.ts';
import { addMissingTasks, makeSiteTasks } from './site-tasks.ts';
import { cancelTask, pauseTask, resumeTask, runNow } from './stop.ts';
import { readTask, type TaskRow } from './task-store.ts';
import { addTask, newTaskSchema } from './tasks.ts';
import { tickBatch } from './tick.ts';
import { toTaskView } from './views.ts';
import { explainTask } from './why.ts';

const who = { by: 'test', reason: 'because' };
const wish = (over: object) =>
  newTaskSchema.parse({ site: 'site-0', name: 'mail', command: ['php', 'mail.php'], ...over });

async function readOne(store: Store, name: string): Promise<TaskRow> {
  const task = await readTask(store, name);
  assert.ok(task, name);
  return task;
}

withStores((test) => {
  test('bad wishes are refused with a clear problem, and nothing is stored', async ({ store }) => {
    const { controller } = await makeStage(store);
    await store.query(`UPDATE site SET state = 'suspended' WHERE id = $1`, [siteId(1)]);
    const codeOf = (over: object) =>
      store
        .transaction((sql) => addTask(sql, controller.parts, wish(over), who))
        .then(
          () => 'none',
          (thrown: unknown) => (thrown instanceof Problem ? thrown.code : String(thrown)),
        );
    assert.equal(await codeOf({ cron: '61 * * * *' }), 'task.bad-cron');
    assert.equal(await codeOf({ cron: '0 0 31 2 *' }), 'task.never-due');
    assert.equal(await codeOf({ cron: '0 0 * * *', zone: 'Mars/Base' }), 'task.unknown-zone');
    assert.equal(await codeOf({ every: '0s' }), 'task.bad-interval');
    assert.equal(await codeOf({ every: '5m', cron: '0 0 * * *' }), 'common.invalid-input');
    assert.equal(await codeOf({ site: 'site-1' }), 'task.site-closed');
    assert.equal(await codeOf({ site: 'nowhere' }), 'common.not-found');
    for (const bad of [
      { command: 'ls' },
      { command: [] },
      { timeoutS: -1 },
      { timeoutS: 0 },
      { class: 'soon' },
      { name: 'A b' },
    ])
      assert.throws(() => wish(bad), JSON.stringify(bad));
    assert.deepEqual(await store.query('SELECT id FROM task'), []);
    assert.equal(await codeOf({ every: '5m' }), 'none');
    assert.equal(await codeOf({ every: '5m' }), 'task.taken');
  });

  test("a site has its recipe's tasks closed until it opens, paused while it is closed, and gone with it", async ({
    store,
  }) => {
    const stage = await makeStage(store);
    const recipe = [
      { name: 'cron', command: ['php', 'cron.php'], every: '1m', timeoutS: 60, class: 'normal' as const },
      { name: 'nightly', command: ['php', 'night.php'], every: '30 3 * * *', timeoutS: 60, class: 'bulk' as const },
    ];
    const tasks = makeSiteTasks(stage.controller.parts, () => recipe);
    await store.transaction((sql) => tasks.created(sql, { id: siteId(0), app: 'wordpress' }));
    assert.equal((await readOne(store, 'site-0/cron')).nextAt, null);
    await stage.run(120_000);
    assert.deepEqual(stage.fleet.diary, []);
    await store.transaction((sql) => tasks.opened(sql, siteId(0)));
    assert.equal((await readOne(store, 'site-0/nightly')).nextAt, '2026-01-01T03:30:00Z');
    await stage.run(120_000);
    assert.equal(stage.fleet.diary.length, 2);
    await stage.until(tasks.closed(siteId(0), AbortSignal.timeout(10_000)));
    await stage.run(120_000);
    assert.equal(stage.fleet.diary.length, 2);
    assert.match(
      await explainTask(
        { ...stage.controller.parts, ledger: stage.controller.ledger },
        await readOne(store, 'site-0/cron'),
      ),
      /^its site is /,
    );
    // The other site was made before the recipe had tasks.
    assert.deepEqual(await addMissingTasks(stage.controller.parts, ['wordpress'], () => recipe), { sites: 1 });
    assert.deepEqual(await addMissingTasks(stage.controller.parts, ['wordpress'], () => recipe), { sites: 0 });
    await store.query('DELETE FROM site WHERE id = $1', [siteId(0)]);
    assert.equal(await readTask(store, 'site-0/cron'), undefined);
  });

  test('a site that closes patiently lets its runs end by themselves, for as long as it is told', async ({ store }) => {
    const stage = await makeStage(store, { work: () => ({ takesMs: 4_000, code: 0 }) });
    const tasks = makeSiteTasks(stage.controller.parts, () => []);
    await addTasks(store, [makeTaskRow(0, 0, stage.at(1_000), { everyS: 60 })]);
    const close = (patienceMs: number) => stage.until(tasks.closed(siteId(0), AbortSignal.timeout(20_000), patienceMs));
    await stage.run(2_000);
    await close(30_000);
    assert.deepEqual(
      stage.fleet.diary.map(({ whole }) => whole),
      [true],
    );
    await store.transaction((sql) => tasks.opened(sql, siteId(0)));
    for (let left = 200; left > 0 && stage.fleet.diary.length < 2; left -= 1) await stage.run(500);
    await close(500);
    assert.deepEqual(
      stage.fleet.diary.map(({ whole }) => whole),
      [true, false],
    );
  });

  test('pause, run by hand, cancel, resume: each does what it says, and why says so', async ({ store }) => {
    const stage = await makeStage(store, { work: () => ({ takesMs: 60_000, code: 0 }) });
    const parts = stage.controller.parts;
    const why = async () =>
      explainTask({ ...parts, ledger: stage.controller.ledger }, await readOne(store, 'site-0/task-0'));
    await addTasks(store, [makeTaskRow(0, 0, stage.at(60_000))]);
    assert.match(await why(), /^it has not been due yet; due next at 2026-01-01 00:01:00 UTC$/);
    await stage.until(pauseTask(parts, await readOne(store, 'site-0/task-0'), who));
    assert.equal(await why(), 'paused by test: because');
    await stage.run(90_000);
    assert.deepEqual(await readHistory(store), []);
    const id = await runNow(parts, await readOne(store, 'site-0/task-0'), who);
    assert.match(await why(), /^run \d+ is next in the order of service$/);
    await assert.rejects(
      runNow(parts, await readOne(store, 'site-0/task-0'), who),
      (thrown) => thrown instanceof Problem && thrown.code === 'task.pending',
    );
    await stage.run(2_000);
    assert.match(await why(), /^run \d+ has been running since .* [ab]: /);
    assert.equal(await stage.until(cancelTask(parts, await readOne(store, 'site-0/task-0'), who)), 1);
    const [ended] = await readHistory(store);
    assert.equal(ended?.id, id);
    assert.equal(ended?.state, 'cancelled');
    await resumeTask(parts, await readOne(store, 'site-0/task-0'), who);
    await stage.run(61_000);
    assert.equal((await readRuns(store)).length, 1);
  });

  test('a site at its limit and a full pool are told as the reasons that a run waits', async ({ store }) => {
    const stage = await makeStage(store, {
      servers: ['a'],
      slots: 1,
      settings: { siteMost: 2 },
      work: () => ({ takesMs: 60_000, code: 0 }),
    });
    const whyParts = { ...stage.controller.parts, ledger: stage.controller.ledger };
    await addTasks(
      store,
      [0, 1, 2].map((index) => makeTaskRow(index, 0, stage.at(500 * index + 500))),
    );
    await stage.run(3_000);
    const whys = await Promise.all(
      [0, 1, 2].map(async (index) => explainTask(whyParts, await readOne(store, `site-0/task-${index}`))),
    );
    assert.match(whys[0] ?? '', /has been running since/);
    assert.match(whys[1] ?? '', /waits for a slot: a has all 1 slots taken$/);
    assert.match(whys[2] ?? '', /its site has 2 of the 2 runs that it may have at once$/);
  });

  test('a task that keeps failing is held by its breaker, which lets a trial through, and closes after a success', async ({
    store,
  }) => {
    let code = 1;
    const stage = await makeStage(store, {
      servers: ['a'],
      work: () => ({ takesMs: 100, code }),
      settings: { breakerAfter: 3, breakerFirstS: 60 },
    });
    await addTasks(store, [makeTaskRow(0, 0, stage.at(10_000), { everyS: 10, retryLimit: 0 })]);
    await stage.run(60_000);
    const held = await readOne(store, taskId(0));
    assert.equal(stage.fleet.diary.length, 3);
    assert.equal(held.attention?.sentence, 'ended with exit code 1');
    assert.ok(held.brokenUntil !== null);
    assert.match(
      await explainTask({ ...stage.controller.parts, ledger: stage.controller.ledger }, held),
      /^its circuit breaker is open until .*3 failures in a row: ended with exit code 1$/,
    );
    const skips = (await readHistory(store)).filter((one) => one.state === 'skipped');
    assert.match(skips[0]?.why ?? '', /^the circuit breaker is open until /);
    code = 0;
    await stage.run(60_000);
    const well = await readOne(store, taskId(0));
    assert.deepEqual([well.failures, well.brokenUntil, well.attention], [0, null, null]);
    await stage.run(30_000);
    const nextAt = new Date((await readOne(store, taskId(0))).nextAt ?? '').getTime();
    const history = await readHistory(store);
    const ticks = history.reduce((sum, one) => sum + one.ticks, 0) + (await readRuns(store)).length;
    assert.equal(ticks, (nextAt - stage.at(10_000).getTime()) / 10_000, 'every tick is a run or a recorded skip');
  });

  test('under pressure everywhere intervals stretch, bulk first; the stretch is shown, and it relaxes by itself', async ({
    store,
  }) => {
    const stage = await makeStage(store, { servers: ['a', 'b'] });
    const parts = stage.controller.parts;
    await addTasks(
      store,
      (['urgent', 'normal', 'bulk'] as const).map((name, index) =>
        makeTaskRow(index, 0, stage.at(300_000), { everyS: 300, class: name }),
      ),
    );
    const turn = async (pressure: number, seconds: number) => {
      for (const server of ['a', 'b']) stage.fleet.setPressure(server, pressure);
      for (let second = 0; second < seconds; second += 5) {
        await stage.run(5_000);
        await runBrownout(parts);
      }
      const [state] = await store.query<{ level: number; reason: string }>(
        'SELECT brownout AS level, brownout_reason AS reason FROM fleet_state',
      );
      assert.ok(state);
      return state;
    };
    const words = async (state: { level: number; reason: string }) =>
      Promise.all([0, 1, 2].map(async (index) => toTaskView(await readOne(store, taskId(index)), state).schedule));
    const first = await turn(95, 45);
    assert.equal(first.level, 1);
    assert.deepEqual(await words(first), [
      'every 5 min',
      'every 5 min',
      'every 5 min, now every 15 min: all servers over 80 % pressure (the least has 95 %)',
    ]);
    assert.equal((await readOne(store, taskId(2))).nextAt, '2026-01-01T00:15:00Z');
    assert.equal((await turn(95, 40)).level, 2);
    assert.equal((await turn(60, 200)).level, 2);
    assert.equal((await turn(10, 70)).level, 1);
    const calm = await turn(10, 80);
    assert.deepEqual(calm, { level: 0, reason: 'full service' });
    assert.deepEqual(await words(calm), ['every 5 min', 'every 5 min', 'every 5 min']);
  });

  test('an alert is told once for each cause, again after it was over, and again when nobody could be told', async ({
    store,
  }) => {
    const stage = await makeStage(store);
    const parts = stage.controller.parts;
    const told: string[] = [];
    let broken = true;
    const channel = {
      name: 'test',
      async tell(alerts: readonly { sentence: string }[]) {
        if (broken) throw new Error('away');
        told.push(...alerts.map((one) => one.sentence));
      },
    };
    const look = () => runAlerts(parts, [channel], AbortSignal.timeout(10_000));
    const fail = (sentence: string | null) =>
      store.query('UPDATE task SET attention = $2::jsonb WHERE id = $1', [
        taskId(0),
        sentence === null ? null : JSON.stringify({ run: 1, cause: 'failed', sentence, since: '' }),
      ]);
    await addTasks(store, [makeTaskRow(0, 0, null)]);
    await fail('ended with exit code 1');
    assert.equal((await look()).told, 0);
    broken = false;
    assert.equal((await look()).told, 0, 'another controller might be telling it still');
    await stage.clock.advance(61_000);
    assert.equal((await look()).told, 1);
    assert.deepEqual([(await look()).told, (await look()).told], [0, 0]);
    assert.deepEqual(told, ['site-0/task-0 needs attention: ended with exit code 1']);
    await fail(null);
    assert.equal((await look()).over, 1);
    await fail('out of memory');
    assert.equal((await look()).told, 1);
    await fail(null);
    await look();
    await store.query('UPDATE task SET next_at = $2 WHERE id = $1', [taskId(0), stage.at(stage.now() - 700_000)]);
    assert.equal((await look()).told, 1);
    assert.match(told.at(-1) ?? '', /is overdue: its ticks are not made$/);
  });

  test('a task is overdue by its own bound where it has one, whether its ticks are not made or its run waits', async ({
    store,
  }) => {
    const stage = await makeStage(store);
    const late = stage.at(stage.now() - 90_000);
    const hourly = { everyS: 3_600, offsetS: (late.getTime() / 1_000) % 3_600 };
    await addTasks(store, [
      makeTaskRow(0, 0, late, { ...hourly, overdueAfterS: 60 }),
      makeTaskRow(1, 1, late, { ...hourly, overdueAfterS: 120 }),
      makeTaskRow(2, 0, late, hourly),
      makeTaskRow(3, 1, late, { ...hourly, overdueAfterS: 60, missed: 'all' }),
    ]);
    const look = async () => {
      await runAlerts(stage.controller.parts, [], AbortSignal.timeout(10_000));
      const alerts = await listAlerts(store, { before: null, limit: 10, open: true });
      return alerts.map(({ cause }) => cause).sort();
    };
    const [first, second, third] = [0, 1, 3].map((index) => `overdue:${taskId(index)}`);
    assert.deepEqual(await look(), [first, third]);

    await tickBatch(stage.controller.parts);
    assert.deepEqual(await look(), [first, third], 'their runs wait now, no sooner');
    await stage.clock.advance(31_000);
    assert.deepEqual(await look(), [first, second, third]);
    await store.query('DELETE FROM run WHERE task = $1', [taskId(0)]);
    assert.deepEqual(await look(), [second, third]);
  });

  test('history has partitions for the days ahead, and drops those that are too old', async ({ store }) => {
    const stage = await makeStage(store);
    const parts = stage.controller.parts;
    try {
      const { made } = await keepHistory(parts);
      assert.deepEqual(
        made,
        ['20260101', '20260102', '20260103', '20260104'].map((day) => `run_history_${day}`),
      );
      assert.deepEqual(await keepHistory(parts), { made: [], dropped: [] });
      await addTasks(store, [makeTaskRow(0, 0, stage.at(1_000))]);
      await stage.run(4_000);
      assert.equal((await store.query('SELECT 1 FROM run_history_20260101')).length, 1);
      await stage.clock.advance(32 * 86_400_000);
      assert.deepEqual((await keepHistory(parts)).dropped, ['run_history_20260101', 'run_history_20260102']);
      assert.deepEqual(await readHistory(store), []);
    } finally {
      for (const { name } of await store.query<{ name: string }>(
        `SELECT relname AS name FROM pg_class WHERE relname ~ '^run_history_\\d{8}$'`,
      ))
        await store.script(`DROP TABLE ${name}`);
    }
  });
});
