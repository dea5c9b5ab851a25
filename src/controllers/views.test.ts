// What people are told of controllers, sentence by sentence.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeControllers } from './doctor.ts';
import type { ControllerRow } from './store.ts';
import { toControllerView } from './views.ts';

const row = (name: string, silentMs = 1_000): ControllerRow => ({
  ...{ id: `c-${name}`, name, address: '10.0.0.1', port: 7443, version: '1.0.0', startedAt: '2026-01-01T00:00:00Z' },
  silentMs,
});
const leader = { id: 'c-s1', term: 7, sinceMs: 61_400 };

test('one leads, one stands by, one is silent, each with the reason', () => {
  const say = (given: ControllerRow, who: typeof leader | undefined) => {
    const { state, reason } = toControllerView(given, who);
    return `${state}: ${reason}`;
  };
  assert.equal(say(row('s1'), leader), 'leading: it leads since 61 s (term 7)');
  assert.equal(say(row('s2'), leader), 'standing by: it takes over when the leader is gone');
  assert.equal(say(row('s2'), undefined), 'standing by: none leads now; the first that asks will');
  assert.equal(say(row('s3', 16_000), leader), 'silent: it has not been seen for 16 s');
});

test('the doctor says who would take over, and what is in the way of it', () => {
  const judge = (...rows: ControllerRow[]) => judgeControllers(rows.map((one) => toControllerView(one, leader)));
  assert.deepEqual(judge(row('s1')), { status: 'ok', detail: 'one controller; nobody would take over' });
  assert.deepEqual(judge(row('s1'), row('s2')), {
    status: 'ok',
    detail: 'the one on s1 leads, on s2 it would be taken over',
  });
  assert.equal(judge(row('s1'), row('s2', 60_000)).status, 'warn');
  assert.equal(judge(row('s1'), { ...row('s2'), version: '2.0.0' }).detail, 's1 has 1.0.0, s2 has 2.0.0');
});
