// What is done together, what becomes of one that cannot be done, and of all when nothing can.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeBatcher } from './batcher.ts';
import { commonProblems } from './errors.ts';

test('one item that cannot be done spoils none of its batch', async () => {
  const batches: number[][] = [];
  const batcher = makeBatcher<number, number>(async (items) => {
    batches.push(items);
    if (items.includes(3)) throw new Error('three is bad');
    return items.map((item) => item * 10);
  }, 100);
  const answers = await Promise.allSettled([1, 2, 3, 4, 5].map((item) => batcher.add(item)));
  assert.deepEqual(
    answers.map((answer) => (answer.status === 'fulfilled' ? answer.value : String(answer.reason))),
    [10, 20, 'Error: three is bad', 40, 50],
  );
  assert.deepEqual(batches, [[1, 2, 3, 4, 5], [1, 2, 3], [1, 2], [3], [4, 5]]);
});

test('what can be done another time fails together at once', async () => {
  let runs = 0;
  const batcher = makeBatcher<number, number>(async () => {
    runs += 1;
    throw commonProblems.make('timed-out', { what: 'The store', seconds: 1 });
  }, 100);
  const answers = await Promise.allSettled([1, 2, 3].map((item) => batcher.add(item)));
  assert.deepEqual([runs, answers.every(({ status }) => status === 'rejected')], [1, true]);
});

test('what comes while a batch is under way is done together after it, so many at once as may be', async () => {
  const batches: number[][] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const batcher = makeBatcher<number, number>(async (items) => {
    batches.push(items);
    if (batches.length === 1) await promise;
    return items;
  }, 2);
  const first = batcher.add(1);
  while (batches.length === 0) await new Promise((next) => setImmediate(next));
  const rest = [2, 3, 4].map((item) => batcher.add(item));
  resolve();
  assert.deepEqual(await Promise.all([first, ...rest]), [1, 2, 3, 4]);
  await batcher.idle();
  assert.deepEqual(batches, [[1], [2, 3], [4]]);
});
