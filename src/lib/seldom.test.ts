import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeSeldom } from './seldom.ts';

test('each thing is said once in its time, and no more different ones than there is room for', () => {
  let nowMs = 0;
  const isNews = makeSeldom(() => nowMs, { everyMs: 1_000, most: 2 });
  assert.deepEqual(['a', 'a', 'b', 'c'].map(isNews), [true, false, true, false]);
  nowMs = 999;
  assert.equal(isNews('a'), false);
  nowMs = 1_000;
  assert.deepEqual(['c', 'a', 'b'].map(isNews), [true, true, false]);
});
