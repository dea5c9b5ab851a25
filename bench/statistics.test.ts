import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median, quantile, round } from './statistics.ts';

void test('a quantile is the nearest rank: p99 of a hundred values is the second largest, of fifty the largest', () => {
  const hundred = Array.from({ length: 100 }, (_, n) => 100 - n);
  assert.equal(quantile(hundred, 0.99), 99);
  assert.equal(quantile(hundred.slice(0, 50), 0.99), 100);
  assert.equal(quantile([7], 0), 7);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

void test('a median of an even number of values lies between the two in the middle', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([10, 2, 4, 100]), 7);
  assert.ok(Number.isNaN(median([])));
});

void test('values are sorted as numbers and left as they were', () => {
  const values = [10, 9, 100];
  assert.equal(median(values), 10);
  assert.deepEqual(values, [10, 9, 100]);
  assert.equal(round(1.23456, 2), 1.23);
});
