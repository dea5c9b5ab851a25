// Loops under a clock that the test moves: when they run, that they run one at a time, and how they stop.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeSystemClock } from '../lib/clock.ts';
import { commonProblems } from '../lib/errors.ts';
import { makeSilentLogger } from '../lib/log.ts';
import { type Loop, type Loops, makeLoop, makeLoops } from './loops.ts';
import { makeTestClock } from './test-clock.ts';

const log = makeSilentLogger();
const statusOf = (loops: Loops) => {
  const [status] = loops.statuses();
  assert.ok(status);
  return status;
};
const loopOf = (runOnce: Loop['runOnce']): Loop =>
  makeLoop({ name: 'heal', wrongWhen: 'a node is missing', everyMs: 1_000, timeoutMs: 300, runOnce });

void test('a loop runs at its start, then every so often, and shows its last result', async () => {
  const clock = makeTestClock();
  const loops = makeLoops({ clock, log, random: () => 0.5 });
  let runs = 0;
  loops.add(loopOf(async () => ({ healed: ++runs })));
  assert.equal(statusOf(loops).state, 'stopped');
  const first = loops.ran('heal');
  loops.start();
  assert.deepEqual((await first).lastResult, { healed: 1 });
  await clock.waited(1);
  assert.equal(statusOf(loops).nextAt, '2026-01-01T00:00:01.000Z');
  await clock.advance(999);
  assert.equal(runs, 1);
  const second = loops.ran('heal');
  await clock.advance(1);
  assert.equal((await second).runs, 2);
  await loops.stop();
  assert.deepEqual([statusOf(loops).state, statusOf(loops).nextAt], ['stopped', null]);
  assert.equal(clock.waits, 0);
});

void test('a wake runs it early, and a wake during a run runs it once more after', async () => {
  const clock = makeTestClock();
  const loops = makeLoops({ clock, log });
  const gates: (() => void)[] = [];
  let atOnce = 0;
  const started = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  loops.add(
    loopOf(async () => {
      atOnce += 1;
      assert.equal(atOnce, 1, 'two runs at once');
      const gate = Promise.withResolvers<void>();
      started[gates.push(gate.resolve) - 1]?.resolve();
      await gate.promise;
      atOnce -= 1;
      return null;
    }),
  );
  loops.start();
  await started[0]?.promise;
  loops.wake('heal');
  loops.wake('heal');
  gates[0]?.();
  await started[1]?.promise;
  const ended = loops.ran('heal');
  gates[1]?.();
  // The run that began before `ran` was asked does not count.
  loops.wake('heal');
  await started[2]?.promise;
  gates[2]?.();
  assert.equal((await ended).runs, 3);
  await loops.stop();
});

void test('a run that fails or is too slow shows its problem, and the next one runs all the same', async () => {
  const clock = makeTestClock();
  const loops = makeLoops({ clock, log, random: () => 0.5 });
  const runs: ((signal: AbortSignal) => Promise<null>)[] = [
    async () => {
      throw commonProblems.make('not-found', { noun: 'pool', name: 'p' });
    },
    (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    async () => null,
  ];
  loops.add(loopOf(async (signal) => (await runs.shift()?.(signal)) ?? null));
  const failed = loops.ran('heal');
  loops.start();
  assert.equal((await failed).lastProblem?.code, 'common.not-found');
  await clock.waited(1);
  const slow = loops.ran('heal');
  await clock.advance(1_000);
  await clock.advance(300);
  assert.equal((await slow).lastProblem?.code, 'common.timed-out');
  const fine = loops.ran('heal');
  await clock.waited(1);
  await clock.advance(1_000);
  const { lastProblem, failures, runs: count } = await fine;
  assert.deepEqual([lastProblem, failures, count], [null, 2, 3]);
  await loops.stop();
});

void test('a run that ignores its signal shows as stuck, and no other begins beside it, even after stop and start', async () => {
  const clock = makeTestClock();
  const loops = makeLoops({ clock, log });
  const gate = Promise.withResolvers<null>();
  let begun = 0;
  loops.add(
    loopOf(() => {
      begun += 1;
      return begun === 1 ? gate.promise : Promise.resolve(null);
    }),
  );
  loops.start();
  await clock.waited(1);
  await clock.advance(300);
  assert.equal(statusOf(loops).state, 'stuck');
  const stopped = loops.stop();
  await clock.advance(10_000);
  await stopped;
  loops.start();
  await clock.advance(60_000);
  assert.equal(begun, 1);
  const next = loops.ran('heal');
  gate.resolve(null);
  await next;
  assert.equal(begun, 2);
  await loops.stop();
});

void test('start, stop, add and wake in any order never run a loop twice at once, and stop leaves nothing running', async () => {
  const act = fc.constantFrom('start', 'stop', 'stop and wait', 'wake', 'add', 'tick');
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 30 }), async (acts) => {
      const loops = makeLoops({ clock: makeSystemClock(), log });
      const atOnce = new Map<string, number>();
      const names: string[] = [];
      const add = () => {
        const name = `loop-${names.length}`;
        names.push(name);
        const runOnce = async () => {
          const count = (atOnce.get(name) ?? 0) + 1;
          assert.equal(count, 1, 'two runs at once');
          atOnce.set(name, count);
          await new Promise((resolve) => setImmediate(resolve));
          atOnce.set(name, 0);
          return null;
        };
        loops.add({ name, wrongWhen: '', everyMs: 1, timeoutMs: 1_000, runOnce });
      };
      add();
      const stops: Promise<void>[] = [];
      for (const one of acts) {
        if (one === 'add') add();
        if (one === 'start') loops.start();
        if (one === 'stop') stops.push(loops.stop());
        if (one === 'stop and wait') await loops.stop();
        if (one === 'wake') for (const name of names) loops.wake(name);
        if (one === 'tick') await new Promise((resolve) => setImmediate(resolve));
      }
      await Promise.all([...stops, loops.stop()]);
      assert.ok(loops.statuses().every(({ state, failures }) => state === 'stopped' && failures === 0));
      assert.ok([...atOnce.values()].every((count) => count === 0));
    }),
    { numRuns: 60 },
  );
});
