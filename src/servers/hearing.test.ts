// How far a controller counts as behind: while heartbeats wait, for a while after that, and when it had no turn itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTestClock } from '../platform/test-clock.ts';
import { makeHearing } from './hearing.ts';

test('heartbeats that wait for their answers put the controller behind, also when the answer has come of late', async () => {
  const clock = makeTestClock();
  const hearing = makeHearing(clock);
  const { promise, resolve } = Promise.withResolvers<string>();
  const answer = hearing.answer(() => promise);
  await clock.advance(2_000);
  assert.equal(hearing.behindMs(), 0, 'there is room for that in every silence');
  await clock.advance(3_000);
  assert.equal(hearing.behindMs(), 5_000);
  await clock.advance(60_000);
  assert.equal(hearing.behindMs(), 20_000, 'one that never ends does not keep silence from being judged');
  resolve('answered');
  assert.equal(await answer, 'answered');
  await hearing.answer(async () => undefined);
  await clock.advance(9_000);
  assert.equal(hearing.behindMs(), 20_000, 'whoever was silent meanwhile is judged now');
  await clock.advance(20_000);
  assert.equal(hearing.behindMs(), 0);
});

test('a heartbeat that fails has waited too, and waits no longer', async () => {
  const clock = makeTestClock();
  const hearing = makeHearing(clock);
  const { promise, reject } = Promise.withResolvers<string>();
  const answer = assert.rejects(
    hearing.answer(() => promise),
    /the store is away/,
  );
  await clock.advance(4_000);
  reject(new Error('the store is away'));
  await answer;
  assert.equal(hearing.behindMs(), 4_000);
  await clock.advance(30_000);
  assert.equal(hearing.behindMs(), 0);
});

test('a controller that had no turn to look has read nothing meanwhile; a look that takes long is no such thing', async () => {
  const clock = makeTestClock();
  const hearing = makeHearing(clock);
  await hearing.look(1_000, () => clock.advance(8_000));
  await clock.advance(1_000);
  await hearing.look(1_000, async () => assert.equal(hearing.behindMs(), 0));
  await clock.advance(13_000);
  await hearing.look(1_000, async () => assert.equal(hearing.behindMs(), 12_000));
});
