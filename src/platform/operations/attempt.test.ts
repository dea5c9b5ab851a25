// The bounds of a step, under a clock that the test moves; and what a step says.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Problem } from '../../lib/errors.ts';
import { makeTestClock } from '../test-clock.ts';
import { type Bounds, runAttempt } from './attempt.ts';
import { parseFault } from './fault.ts';
import { pauseAfter } from './plan.ts';
import { makeProgress } from './progress.ts';
import type { FaultPoint } from './run-operation.ts';

const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

function makeBounds(change: Partial<Bounds> = {}) {
  const clock = makeTestClock();
  const bounds = { clock, timeoutMs: 100, graceMs: 10, abandon: new AbortController().signal, ...change };
  return { clock, bounds };
}

void test('work that ends or fails within its time says so, and leaves no timer', async () => {
  const { clock, bounds } = makeBounds();
  assert.deepEqual(await runAttempt(async () => 7, bounds), { kind: 'ended', value: 7 });
  const error = new Error('no');
  assert.deepEqual(await runAttempt(() => Promise.reject(error), bounds), { kind: 'failed', error });
  const thrown = await runAttempt(() => {
    throw error;
  }, bounds);
  assert.deepEqual(thrown, { kind: 'failed', error });
  assert.equal(clock.waits, 0);
});

void test('work that heeds its signal is stopped at its time limit; work that ends well all the same has ended', async () => {
  const { clock, bounds } = makeBounds();
  const heeding = runAttempt(untilAborted, bounds);
  await clock.advance(100);
  const outcome = await heeding;
  assert.deepEqual(
    [outcome.kind, outcome.kind === 'stopped' && [outcome.cause, outcome.stuck]],
    ['stopped', ['timed-out', false]],
  );
  const late = runAttempt(async (signal) => {
    await untilAborted(signal).catch(() => {});
    return 'done';
  }, bounds);
  await clock.advance(100);
  assert.deepEqual(await late, { kind: 'ended', value: 'done' });
});

void test('work that ignores its signal is left after the grace, as stuck', async () => {
  const { clock, bounds } = makeBounds();
  const ignoring = runAttempt(() => new Promise<never>(() => {}), bounds);
  await clock.advance(110);
  assert.deepEqual(await ignoring, { kind: 'stopped', cause: 'timed-out', error: undefined, stuck: true });
  assert.equal(clock.waits, 0);
});

void test('a cancellation and the end of the controller stop it, also when they came before', async () => {
  const cancel = new AbortController();
  const { bounds } = makeBounds({ cancel: cancel.signal });
  const cancelled = runAttempt(untilAborted, bounds);
  cancel.abort();
  assert.equal((await cancelled).kind, 'stopped');
  const after = await runAttempt(async (signal) => signal.throwIfAborted(), bounds);
  assert.ok(after.kind === 'stopped' && after.cause === 'cancelled');
  const abandoned = await runAttempt(async (signal) => signal.throwIfAborted(), {
    ...bounds,
    abandon: AbortSignal.abort(),
  });
  assert.ok(abandoned.kind === 'stopped' && abandoned.cause === 'abandoned');
});

void test('what a step says is sent in bundles, and only the last lines are kept', async () => {
  const clock = makeTestClock();
  const sent: string[][] = [];
  const progress = makeProgress(clock, ['from before'], (lines) => sent.push(lines));
  progress.say('one');
  progress.say('two\nthree');
  await clock.advance(200);
  assert.deepEqual(sent, [['one', 'two', 'three']]);
  for (let n = 0; n < 5_000; n += 1) progress.say(`line ${n}`);
  progress.say('x'.repeat(1_000));
  const { unsent, tail } = progress.end();
  progress.say('too late');
  assert.equal(unsent.length, 2_000 - 3);
  assert.match(unsent.at(-1) ?? '', /more lines are not sent/);
  assert.deepEqual([tail.length, tail.at(-2), tail.at(-1)?.length], [100, 'line 4999', 401]);
  assert.equal(clock.waits, 0);
});

void test('pauses double up to their most and are scattered by a quarter', () => {
  const pause = { firstMs: 100, mostMs: 1_000 };
  const middle = [1, 2, 3, 4, 5, 500].map((attempts) => pauseAfter(attempts, pause, () => 0.5));
  assert.deepEqual(middle, [100, 200, 400, 800, 1_000, 1_000]);
  assert.deepEqual([pauseAfter(1, pause, () => 0), pauseAfter(1, pause, () => 1)], [75, 125]);
});

void test('ESPALIER_FAULT names one point and what happens there, once', () => {
  const point = (step: string, when: FaultPoint['when']) => ({ operation: 'o1', kind: 'site.create', step, when });
  let kills = 0;
  const kill = parseFault('site.create/make-database/after-do:kill', () => kills++);
  kill(point('make-database', 'before-do'));
  kill(point('other', 'after-do'));
  assert.equal(kills, 0);
  kill(point('make-database', 'after-do'));
  kill(point('make-database', 'after-do'));
  assert.equal(kills, 1);
  const fail = parseFault('site.create/*/before-undo:fail', () => {});
  assert.throws(() => fail(point('any', 'before-undo')), /ESPALIER_FAULT/);
  fail(point('any', 'before-undo'));
  assert.throws(
    () => parseFault('site.create:kill', () => {}),
    (error) => error instanceof Problem && error.code === 'common.invalid-input',
  );
});
