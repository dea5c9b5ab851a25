// Whose runs are taken back when their leases are over, and whose are not before their server is fenced.
import assert from 'node:assert/strict';
import { makeStage } from '../../test/simulation/stage.ts';
import { addTasks, makeTaskRow, readHistory, readRuns } from '../../test/simulation/world.ts';
import { withStores } from '../platform/test-store.ts';

withStores((test) => {
  test('a run of a server that may be frozen is taken back when that is fenced, and then at once', async ({
    store,
  }) => {
    const stage = await makeStage(store, { work: () => ({ takesMs: 300_000, code: 0 }) });
    await addTasks(store, [makeTaskRow(0, 0, stage.at(1_000))]);
    await stage.run(2_000);
    const [run] = await readRuns(store);
    assert.equal(run?.state, 'running');
    const server = run.server ?? '';
    stage.fleet.cut(server, 10_000_000);
    const enter = (change: string) => store.query(`UPDATE server SET ${change} WHERE name = $1`, [server]);
    const isLost = async () => (await readHistory(store)).some(({ id, state }) => id === run.id && state === 'lost');

    await enter(`state = 'lost', alive = false`);
    await stage.run(60_000);
    assert.equal(await isLost(), false, 'it may be frozen');
    await enter(`state = 'fenced'`);
    await stage.run(10_000);
    assert.equal(await isLost(), false, 'its fence is not up');
    await enter('fenced_at = now()');
    await stage.run(2_000);
    assert.equal(await isLost(), true);
  });

  test('a run of a server that another one hears is taken back by its lease', async ({ store }) => {
    const stage = await makeStage(store, { work: () => ({ takesMs: 300_000, code: 0 }) });
    await addTasks(store, [makeTaskRow(0, 0, stage.at(1_000))]);
    await stage.run(2_000);
    const [run] = await readRuns(store);
    const server = run?.server ?? '';
    stage.fleet.cut(server, 10_000_000);
    await store.query(`UPDATE server SET state = 'lost', alive = true WHERE name = $1`, [server]);
    await stage.run(20_000);
    assert.ok((await readHistory(store)).some(({ id, state }) => id === run?.id && state === 'lost'));
  });
});
