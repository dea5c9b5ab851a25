import assert from 'node:assert/strict';
import { makeStage } from '../../test/simulation/stage.ts';
import { addTasks, makeTaskRow, taskId } from '../../test/simulation/world.ts';
import type { Sql } from '../platform/store.ts';
import { withStores } from '../platform/test-store.ts';
import { makeDefinitions } from './definitions.ts';

withStores((test) => {
  test('a task is looked up once, and again when too many others were meanwhile', async ({ store }) => {
    const stage = await makeStage(store);
    await addTasks(
      store,
      [0, 1, 2].map((number) => ({ ...makeTaskRow(number, 0, stage.at(1_000)), command: [`do-${number}`] })),
    );
    const asked: unknown[] = [];
    const sql: Sql = {
      ...store,
      query(text, values) {
        asked.push(values?.[0]);
        return store.query(text, values);
      },
    };
    const definitions = makeDefinitions(2);
    const commandsOf = async (...tasks: string[]) => {
      const found = await definitions.read(sql, tasks);
      return tasks.map((task) => found.get(task)?.command[0]);
    };
    const [first, second, third] = [taskId(0), taskId(1), taskId(2)];
    assert.deepEqual(await commandsOf(first, second, first), ['do-0', 'do-1', 'do-0']);
    assert.deepEqual(await commandsOf(second, first, 'gone'), ['do-1', 'do-0', undefined]);
    assert.deepEqual(await commandsOf(second, third), ['do-1', 'do-2']);
    assert.deepEqual(await commandsOf(first), ['do-0']);
    assert.deepEqual(asked, [[first, second], ['gone'], [third], [first]]);
  });

  test('what a task does and may use cannot be changed behind the back of those who keep it', async ({ store }) => {
    const stage = await makeStage(store);
    await addTasks(store, [makeTaskRow(0, 0, stage.at(1_000))]);
    for (const change of [`command = '{rm}'`, 'timeout_s = 1', 'cpu_percent = 1', 'memory_mb = 1'])
      await assert.rejects(store.query(`UPDATE task SET ${change}`), /add another task/, change);
    await store.query('UPDATE task SET next_at = NULL, failures = 1');
  });
});
