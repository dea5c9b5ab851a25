// The twelve properties that the sequencer promises, each by name, over the real SQL on both engines, with time and chance
// injected. The simulation (test/simulation/seeds.test.ts) tries them together under faults by seed.
import assert from 'node:assert/strict';
import { listOverlaps } from '../../test/simulation/diary.ts';
import { runSeed } from '../../test/simulation/run-seed.ts';
import { makeStage } from '../../test/simulation/stage.ts';
import { addTasks, makeTaskRow, readHistory, readRuns, siteId, taskId } from '../../test/simulation/world.ts';
import type { Store } from '../platform/store.ts';
import { withStores } from '../platform/test-store.ts';
import { recordEnds } from './end.ts';
import { renew } from './renew.ts';
import { readNext } from './schedule.ts';
import { cancelTask, closeSite, pauseTask, removeTask } from './stop.ts';
import { readTask, type TaskRow } from './task-store.ts';
import { tickBatch } from './tick.ts';

const who = { by: 'test' };

async function readOne(store: Store, index: number): Promise<TaskRow> {
  const task = await readTask(store, taskId(index));
  assert.ok(task);
  return task;
}

const wellEnd = {
  cause: 'exit' as const,
  code: 0,
  signal: null,
  cpuS: 0,
  peakMemoryBytes: null,
  startedAt: null,
  endedAt: null,
  tail: '',
};

withStores((test, engine) => {
  test('1: at most one process of an overlap key lives, though a server freezes, is cut off, and goes on', async ({
    store,
  }) => {
    const stage = await makeStage(store, { work: () => ({ takesMs: 60_000, code: 0 }) });
    await addTasks(store, [makeTaskRow(0, 0, stage.at(1_000)), makeTaskRow(1, 1, stage.at(1_000))]);
    await stage.run(5_000);
    assert.equal(stage.fleet.live(), 2);
    stage.fleet.freeze('a', 40_000);
    stage.fleet.cut('b', 40_000);
    await stage.run(30_000);
    await stage.run(60_000);
    assert.ok(stage.fleet.diary.length >= 4, 'they were tried again');
    assert.deepEqual(listOverlaps(stage.fleet.diary), []);
  });

  for (const seed of engine === 'pglite' ? [101, 102, 103] : [201, 202, 203, 204, 205, 206]) {
    test(`1 to 7, 12: hold together under the faults of seed ${seed}`, async ({ store }) => {
      assert.deepEqual((await runSeed(store, seed)).faults, []);
    });
  }

  test('2: a stale epoch changes neither state nor history nor retries', async ({ store }) => {
    const stage = await makeStage(store, { work: () => ({ takesMs: 300_000, code: 0 }) });
    await addTasks(store, [makeTaskRow(0, 0, stage.at(1_000))]);
    await stage.run(2_000);
    const [first] = await readRuns(store);
    assert.equal(first?.state, 'running');
    stage.fleet.cut(first.server ?? '', 10_000_000);
    await stage.run(30_000);
    const before = { runs: await readRuns(store), history: await readHistory(store) };
    assert.equal(before.history.find((one) => one.id === first.id)?.state, 'lost');
    assert.equal(before.runs[0]?.attempt, 2);

    for (const code of [0, 1]) {
      const result = { ...wellEnd, code };
      const recorded = await recordEnds(stage.controller.parts, [
        { id: first.id, epoch: first.epoch ?? 0, result },
        { id: before.runs[0]?.id ?? 0, epoch: first.epoch ?? 0, result },
      ]);
      assert.deepEqual(recorded, { ended: 0, stale: 2 });
    }
    assert.deepEqual({ runs: await readRuns(store), history: await readHistory(store) }, before);
    const [state] = await store.query<{ stale: number }>('SELECT stale_ends AS stale FROM fleet_state');
    assert.equal(state?.stale, 4);
  });

  test('2: a stale epoch, or another server, renews no lease', async ({ store }) => {
    const stage = await makeStage(store, { work: () => ({ takesMs: 300_000, code: 0 }) });
    await addTasks(store, [makeTaskRow(0, 0, stage.at(1_000))]);
    await stage.run(2_000);
    const [run] = await readRuns(store);
    assert.ok(run);
    const { id, epoch, server } = run;
    const readLease = async () => (await store.query('SELECT lease_until, state, started_at FROM run'))[0];
    const before = await readLease();
    await stage.clock.advance(3_000);
    const other = server === 'a' ? 'b' : 'a';
    for (const wrong of [
      { server: server ?? '', runs: [{ id, epoch: (epoch ?? 0) - 1 }] },
      { server: server ?? '', runs: [{ id, epoch: (epoch ?? 0) + 1 }] },
      { server: other, runs: [{ id, epoch: epoch ?? 0 }] },
    ])
      assert.deepEqual(await renew(stage.controller.parts, [wrong]), [{ lost: [id], cancelled: [] }]);
    assert.deepEqual(await readLease(), before);
    const right = { server: server ?? '', runs: [{ id, epoch: epoch ?? 0 }] };
    assert.deepEqual(await renew(stage.controller.parts, [right]), [{ lost: [], cancelled: [] }]);
    assert.notDeepEqual(await readLease(), before);
    assert.deepEqual(
      await renew(stage.controller.parts, [{ ...right, server: other }, right, { ...right, server: other }]),
      [
        { lost: [id], cancelled: [] },
        { lost: [], cancelled: [] },
        { lost: [id], cancelled: [] },
      ],
      'in one batch only the server that has it keeps it',
    );
  });

  test('3: every due tick gives one run or one recorded skip, also when no controller was there', async ({ store }) => {
    const stage = await makeStage(store, { work: () => ({ takesMs: 100, code: 0 }), slots: 20 });
    const rows = (['latest', 'none', 'all'] as const).map((missed, index) =>
      makeTaskRow(index, 0, stage.at(10_000), { everyS: 10, missed, missedCap: 5 }),
    );
    await addTasks(store, rows);
    await stage.run(61_000);
    stage.asleep = true;
    await stage.run(200_000);
    stage.asleep = false;
    await stage.run(40_000);
    for (const row of rows) {
      const history = await readHistory(store, row.id);
      const nextAt = new Date((await readTask(store, row.id))?.nextAt ?? '').getTime();
      const due = (nextAt - stage.at(10_000).getTime()) / 10_000;
      const runs = history.filter((one) => one.state === 'succeeded');
      const skips = history.filter((one) => one.state === 'skipped');
      assert.equal(new Set(runs.map((one) => one.dueAt)).size, runs.length, 'no tick has two runs');
      assert.equal(
        runs.length +
          skips.reduce((sum, one) => sum + one.ticks, 0) +
          (await readRuns(store)).filter((one) => one.task === row.id).length,
        due,
        row.missed,
      );
      assert.ok(skips.every((one) => one.why.length > 0));
    }
    const made = async (index: number) =>
      (await readHistory(store, taskId(index))).filter((one) => {
        const at = new Date(one.dueAt).getTime() - stage.at(0).getTime();
        return one.state === 'succeeded' && at > 61_000 && at <= 261_000;
      }).length;
    assert.deepEqual([await made(0), await made(1), await made(2)], [1, 1, 5]);
  });

  test('4: a run whose server dies is taken back within lease, grace and one look', async ({ store }) => {
    const stage = await makeStage(store, { work: () => ({ takesMs: 300_000, code: 0 }) });
    await addTasks(store, [makeTaskRow(0, 0, stage.at(1_000), { whenLost: 'fail', retryLimit: 0 })]);
    await stage.run(3_000);
    const [run] = await readRuns(store);
    const diedMs = stage.now();
    stage.fleet.kill(run?.server ?? '', 10_000_000);
    while ((await readRuns(store)).some((one) => one.id === run?.id)) await stage.run(500);
    assert.ok(stage.now() - diedMs <= 10_000 + 5_000 + 1_000, `it took ${stage.now() - diedMs} ms`);
    assert.equal((await readHistory(store))[0]?.state, 'lost');
  });

  test('5: the kill on the server comes before the run is taken back', async ({ store }) => {
    const stage = await makeStage(store, { servers: ['a'], work: () => ({ takesMs: 300_000, code: 0 }), delayMs: 900 });
    await addTasks(store, [makeTaskRow(0, 0, stage.at(1_000), { whenLost: 'fail', retryLimit: 0 })]);
    await stage.run(5_000);
    stage.fleet.cut('a', 10_000_000);
    while ((await readRuns(store)).length > 0) await stage.run(500);
    const [entry] = stage.fleet.diary;
    assert.ok(
      entry !== undefined && entry.lastMs + 5_000 <= stage.now(),
      `killed at ${entry?.lastMs}, taken back at ${stage.now()}`,
    );
  });

  test('6: two controllers never make a tick twice', async ({ store, openAnother }) => {
    const other = engine === 'postgresql' ? openAnother() : store;
    const stage = await makeStage(store, { sites: 10, others: [other] });
    const rows = Array.from({ length: 300 }, (_, index) => makeTaskRow(index, index % 10, stage.at(0), { everyS: 5 }));
    await addTasks(store, rows);
    await stage.clock.advance(1_000);
    const [one, two] = [stage.controller.parts, { ...stage.controller.parts, store: other }];
    const small = { ...one.settings, batch: 50 };
    const counts = await Promise.all(
      Array.from({ length: 12 }, (_, turn) => tickBatch({ ...(turn % 2 === 0 ? one : two), settings: small })),
    );
    assert.equal(
      counts.reduce((sum, { due }) => sum + due, 0),
      300,
    );
    const runs = await readRuns(store);
    assert.equal(runs.length, 300);
    assert.equal(new Set(runs.map((run) => `${run.task} ${run.dueAt}`)).size, 300);
  });

  test('7: retries keep to backoff, limit and overlap key', async ({ store }) => {
    const stage = await makeStage(store, { servers: ['a'], work: () => ({ takesMs: 1_000, code: 3 }) });
    const shared = { overlapKey: `${siteId(0)}/shared`, everyS: 3_600, retryLimit: 3, retryFirstS: 4, retryMostS: 10 };
    await addTasks(store, [makeTaskRow(0, 0, stage.at(0), shared), makeTaskRow(1, 0, stage.at(0), shared)]);
    await stage.run(120_000);
    for (const index of [0, 1]) {
      const attempts = await readHistory(store, taskId(index));
      assert.deepEqual(
        attempts.map((one) => one.attempt),
        [1, 2, 3, 4],
      );
      attempts.slice(1).forEach((next, position) => {
        const pauseMs = new Date(next.leasedAt ?? '').getTime() - new Date(attempts[position]?.endedAt ?? '').getTime();
        const wholeS = Math.min(10, 4 * 2 ** position);
        assert.ok(pauseMs >= wholeS * 500, `attempt ${next.attempt} came after ${pauseMs} ms`);
      });
      const task = await readOne(store, index);
      assert.equal(task.failures, 1);
      assert.equal(task.attention?.sentence, 'ended with exit code 3');
    }
    assert.deepEqual(listOverlaps(stage.fleet.diary), []);
  });

  test('8: sites get service by their weights, and one with a thousand tasks delays nobody', async ({ store }) => {
    const stage = await makeStage(store, {
      ...{ servers: ['a'], slots: 4, sites: 4, settings: { siteMost: 8 } },
      work: () => ({ takesMs: 900, code: 0 }),
    });
    const rows = Array.from({ length: 400 }, (_, index) =>
      makeTaskRow(index, index < 200 ? 0 : index < 300 ? 1 : 2, stage.at(0), { everyS: 86_400 }),
    );
    await addTasks(store, rows);
    await store.query(`INSERT INTO site_share (site, weight) VALUES ($1, 2)`, [siteId(2)]);
    await stage.run(20_000);
    // A fourth comes late: it does not wait for the others' queues.
    await addTasks(store, [makeTaskRow(400, 3, stage.at(stage.now()), { everyS: 86_400 })]);
    const cameMs = stage.now();
    await stage.run(5_000);
    const [mine] = stage.fleet.diary.filter((entry) => entry.task === taskId(400));
    assert.ok(
      mine !== undefined && mine.beganMs - cameMs <= 2_500,
      `it waited ${mine === undefined ? 'for ever' : mine.beganMs - cameMs} ms`,
    );
    await stage.run(15_000);
    const count = (site: number) =>
      stage.fleet.diary.filter((entry) => entry.overlapKey.startsWith(siteId(site))).length;
    const [hog, plain, heavy] = [count(0), count(1), count(2)];
    assert.ok(Math.abs(hog - plain) <= 8, `${hog} and ${plain} of equal weight`);
    assert.ok(Math.abs(heavy - 2 * plain) <= 16, `${heavy} of double weight, ${plain} of single`);
  });

  test('9: at three times capacity the backlog stays bounded, urgent tasks keep their lag, and all recovers', async ({
    store,
  }) => {
    let slow = true;
    const stage = await makeStage(store, {
      ...{ servers: ['a'], slots: 8, sites: 6 },
      work: () => ({ takesMs: slow ? 5_900 : 300, code: 0 }),
    });
    // 72 tasks every 18 s, each of 6 s: the work of 24 slots on 8. Nothing is preempted: urgent ones may wait for one end.
    const rows = Array.from({ length: 72 }, (_, index) =>
      makeTaskRow(index, index % 6, stage.at(0), {
        everyS: 18,
        offsetS: index % 18,
        class: index < 6 ? 'urgent' : index < 36 ? 'normal' : 'bulk',
      }),
    );
    await addTasks(
      store,
      rows.map((row) => ({ ...row, nextAt: readNext(row, stage.at(0))?.toISOString() ?? null })),
    );
    let most = 0;
    for (let second = 0; second < 180; second += 1) {
      await stage.run(1_000);
      most = Math.max(most, (await readRuns(store)).filter((run) => run.state === 'queued').length);
    }
    assert.ok(most <= 72, `${most} waited`);
    const lags = (await readHistory(store))
      .filter((one) => one.state === 'succeeded' && rows.find((row) => row.id === one.task)?.class === 'urgent')
      .map((one) => new Date(one.leasedAt ?? '').getTime() - new Date(one.dueAt).getTime());
    assert.ok(lags.length > 20 && Math.max(...lags) <= 7_000, `urgent lags up to ${Math.max(...lags)} ms`);
    slow = false;
    await stage.run(30_000);
    const late = (await readRuns(store)).filter((run) => new Date(run.dueAt) <= stage.at(stage.now()));
    assert.ok(late.length <= 6, 'it has recovered');
  });

  test('9: bulk tasks have their turn though more urgent ones ask for more than there is', async ({ store }) => {
    const stage = await makeStage(store, { servers: ['a'], slots: 2, work: () => ({ takesMs: 2_900, code: 0 }) });
    const rows = Array.from({ length: 20 }, (_, index) =>
      makeTaskRow(index, index % 2, stage.at(0), { everyS: 6, class: index < 18 ? 'urgent' : 'bulk' }),
    );
    await addTasks(store, rows);
    // With a tenth of the weight a second of work is ten of virtual time: what takes an hour takes minutes.
    await store.query('INSERT INTO site_share (site, weight) SELECT id, 0.1 FROM site');
    await stage.run(240_000);
    const bulk = stage.fleet.diary.filter((entry) => entry.task === taskId(18) || entry.task === taskId(19));
    assert.ok(bulk.length >= 1, `${bulk.length} bulk runs of ${stage.fleet.diary.length}`);
    assert.ok((bulk[0]?.beganMs ?? 0) > 60_000, 'but not before the urgent ones');
  });

  for (const [title, startAt, expected] of [
    ['spring', '2026-03-29T00:00:00+01:00', 23],
    ['autumn', '2026-10-25T00:00:00+02:00', 25],
  ] as const) {
    test(`10: the ${title} day of Vienna has ${expected} hours, and one half past two`, async ({ store }) => {
      const stage = await makeStage(store, { startAt: new Date(startAt) });
      const before = new Date(stage.at(0).getTime() - 1_000);
      const vienna = { everyS: null, offsetS: 0, zone: 'Europe/Vienna' };
      const hourly = { ...vienna, cron: '0 * * * *' };
      const daily = { ...vienna, cron: '30 2 * * *' };
      await addTasks(store, [
        makeTaskRow(0, 0, readNext(hourly, before), { ...hourly, missed: 'all', missedCap: 100 }),
        makeTaskRow(1, 0, readNext(daily, before), daily),
      ]);
      stage.asleep = true;
      await stage.clock.advance((expected - 1) * 3_600_000 + 60_000);
      stage.asleep = false;
      await stage.run(40_000);
      const counts = await Promise.all(
        [0, 1].map(
          async (index) => (await readHistory(store, taskId(index))).filter((one) => one.state === 'succeeded').length,
        ),
      );
      assert.deepEqual(counts, [expected, 1]);
    });
  }

  test('11: after a pause, a removal or the closing of a site is acknowledged nothing of it starts', async ({
    store,
  }) => {
    const stage = await makeStage(store, {
      delayMs: 1_800,
      sites: 3,
      slots: 50,
      work: () => ({ takesMs: 1_500, code: 0 }),
    });
    const rows = Array.from({ length: 12 }, (_, index) =>
      makeTaskRow(index, index % 3, stage.at(1_000 * (index % 4)), { everyS: 2 }),
    );
    await addTasks(store, rows);
    const parts = stage.controller.parts;
    const acknowledged = new Map<string, number>();
    for (let turn = 0; turn < 3; turn += 1) {
      await stage.run(1_500 + turn * 700);
      const task = await readOne(store, turn * 3);
      const stop = turn % 2 === 0 ? pauseTask(parts, task, who) : removeTask(parts, task, who);
      await stage.until(stop);
      acknowledged.set(task.id, stage.now());
    }
    await stage.run(700);
    await stage.until(closeSite(parts, siteId(1)));
    for (const row of rows.filter((one) => one.site === siteId(1))) acknowledged.set(row.id, stage.now());
    await stage.run(15_000);
    for (const [task, atMs] of acknowledged) {
      const later = stage.fleet.diary.filter((entry) => entry.task === task && entry.beganMs > atMs);
      assert.deepEqual(later, [], task);
    }
    const closed = stage.fleet.diary.filter((entry) => entry.overlapKey.startsWith(siteId(1)));
    const closedMs = acknowledged.get(taskId(1)) ?? 0;
    assert.ok(
      closed.every((entry) => entry.lastMs <= closedMs),
      'what ran was killed before the answer',
    );
    assert.ok(
      stage.fleet.diary.some((entry) => entry.beganMs > closedMs),
      'others go on',
    );
  });

  test('11: a cancel that meets the claim ends what waits and what lives, and nothing of it lives once it is acknowledged', async ({
    store,
  }) => {
    const stage = await makeStage(store, { delayMs: 1_800, work: () => ({ takesMs: 30_000, code: 0 }) });
    // Each is due once, so that whatever begins is what was cancelled; more than there are slots, so that some still wait.
    const rows = Array.from({ length: 12 }, (_, index) =>
      makeTaskRow(index, index % 2, stage.at(250 * index), { everyS: 86_400, whenLost: 'retry' }),
    );
    await addTasks(store, rows);
    const acknowledged = new Map<string, number>();
    const cancel = async (task: TaskRow) => {
      await stage.until(cancelTask(stage.controller.parts, task, who));
      acknowledged.set(task.id, stage.now());
    };
    // All are made by then, ahead of their times.
    await stage.run(1_000);
    for (const index of [0, 11, 4, 8]) {
      await stage.run(500);
      await cancel(await readOne(store, index));
    }
    const unheard = (await readRuns(store)).find((run) => run.state === 'running' && run.server === 'a');
    assert.ok(unheard);
    stage.fleet.cut('a', 10_000);
    const task = await readTask(store, unheard.task);
    assert.ok(task);
    await cancel(task);
    await stage.run(180_000);
    for (const [id, atMs] of acknowledged) {
      const own = stage.fleet.diary.filter((entry) => entry.task === id);
      assert.ok(
        own.every(({ lastMs }) => lastMs <= atMs),
        `${id} is dead when it is said to be`,
      );
    }
    const ended = Map.groupBy(await readHistory(store), (one) => one.task);
    for (const { id } of rows) {
      const last = ended.get(id)?.at(-1)?.state;
      assert.equal(last, acknowledged.has(id) ? 'cancelled' : 'succeeded', id);
    }
  });

  test('12: a database that breaks off loses no end that was acknowledged, and records none twice', async ({
    store,
    openAnother,
  }) => {
    const stage = await makeStage(store, { sites: 5, slots: 1_000 });
    await addTasks(
      store,
      Array.from({ length: 200 }, (_, index) => makeTaskRow(index, index % 5, stage.at(0), { everyS: 86_400 })),
    );
    await stage.run(2_000);
    stage.asleep = true;
    const leased = await store.query<{ id: number; epoch: number }>(
      `UPDATE run SET state = 'leased', open = true, epoch = nextval('run_epoch'), server = 'a', node = 'n-a', lease_until = now(), leased_at = now()
       WHERE true RETURNING id, epoch`,
    );
    const accepted: number[] = [];
    const breaker = engine === 'postgresql' ? openAnother() : undefined;
    const breaks = async () => {
      await breaker?.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
      );
    };
    const send = async (runs: typeof leased) => {
      for (;;) {
        try {
          const ended = runs.map(({ id, epoch }) => ({
            id,
            epoch,
            result: { ...wellEnd, endedAt: new Date().toISOString() },
          }));
          accepted.push(...(await stage.controller.report('a', { ended })).accepted);
          return;
        } catch {
          // As the agent does: it keeps the end and sends it again.
        }
      }
    };
    const sends = leased.map(async (run, index) =>
      send(index % 3 === 0 ? [run, ...leased.slice(index, index + 3)] : [run]),
    );
    for (let turn = 0; turn < 5; turn += 1) await breaks();
    await Promise.all(sends);
    // All of the store's sessions notice that they were broken off.
    for (let turn = 0; turn < 3; turn += 1)
      await Promise.allSettled(Array.from({ length: 20 }, () => store.query('SELECT 1')));
    // Through the session that was not broken off.
    const reader = breaker ?? store;
    const history = await readHistory(reader);
    const recorded = history.filter((one) => one.state === 'succeeded').map((one) => one.epoch);
    assert.equal(new Set(recorded).size, recorded.length);
    const epochs = new Set(recorded);
    for (const id of new Set(accepted))
      assert.ok(epochs.has(leased.find((run) => run.id === id)?.epoch ?? -1), `run ${id}`);
    assert.deepEqual(
      (await readRuns(reader)).filter((run) => leased.some((one) => one.epoch === run.epoch)),
      [],
    );
  });
});
