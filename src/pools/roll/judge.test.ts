import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgePages, judgeTraffic, type PageAnswer, subtractTraffic, sumTraffic, type Traffic } from './judge.ts';

const page = (ok: boolean, durationMs = 50, name = 'acme.example/'): PageAnswer => ({
  page: name,
  ok,
  detail: ok ? 'answered 200' : 'answered 500',
  durationMs,
});
const traffic = (requests: number, errors: number, responseTimeMs = 40): Traffic => ({
  requests,
  errors,
  responseTimeMs,
});

void test('a page that fails on the new node alone speaks against it; one that fails everywhere is the site itself', () => {
  assert.equal(judgePages([page(true)], [page(true)]), undefined);
  assert.match(judgePages([page(false)], [page(true)]) ?? '', /answered 500, and works on the old nodes/);
  assert.equal(judgePages([page(false)], [page(false)]), undefined);
  assert.match(judgePages([page(false)], []) ?? '', /answered 500$/);
  assert.match(judgePages([page(true), page(false, 50, 'b/')], [page(true), page(true, 50, 'b/')]) ?? '', /^b\//);
});

void test('slow is what doubles the time and can be noticed', () => {
  assert.match(judgePages([page(true, 1050)], [page(true, 50)]) ?? '', /took 1050 ms, on the old nodes 50 ms/);
  assert.equal(judgePages([page(true, 250)], [page(true, 50)]), undefined);
  assert.equal(judgePages([page(true, 1500)], [page(true, 1000)]), undefined);
  assert.match(
    judgeTraffic(traffic(100, 0, 1040), traffic(100, 0, 40)) ?? '',
    /answer in 1040 ms, the old ones in 40 ms/,
  );
  assert.equal(
    judgeTraffic(traffic(10, 0, 1040), traffic(100, 0, 40)),
    undefined,
    'ten requests say nothing of a mean',
  );
});

void test('errors count from the third on, and only where the old nodes do not have them', () => {
  assert.equal(judgeTraffic(traffic(100, 2), traffic(100, 0)), undefined);
  assert.match(judgeTraffic(traffic(100, 3), traffic(100, 0)) ?? '', /3 of 100 requests failed/);
  assert.equal(judgeTraffic(traffic(100, 10), traffic(100, 9)), undefined);
  assert.match(
    judgeTraffic(traffic(0, 3), traffic(50, 0)) ?? '',
    /3 of 0 requests/,
    'connections that never were made',
  );
});

void test('windows are differences, and an edge that was loaded anew begins anew', () => {
  assert.deepEqual(subtractTraffic(traffic(100, 5), traffic(80, 5)), traffic(20, 0));
  assert.deepEqual(subtractTraffic(traffic(3, 1), traffic(80, 5)), traffic(3, 1));
  assert.deepEqual(sumTraffic([traffic(1, 1, 10), traffic(2, 0, 30)]), traffic(3, 1, 30));
  assert.deepEqual(sumTraffic([]), traffic(0, 0, 0));
});
