// Operations on real stores: what a person sees of them, from the start to each way of ending.
import assert from 'node:assert/strict';
import { z } from 'zod';
import { makeSystemClock } from '../../lib/clock.ts';
import { makeLogger, makeSilentLogger } from '../../lib/log.ts';
import { makeEvents } from '../events.ts';
import type { Store } from '../store.ts';
import { readPlatformMigrations, withStores } from '../test-store.ts';
import { makeOperation, type Step } from './operation.ts';
import { type DrivenOperations, makeOperations, type OperationsOptions } from './operations.ts';

const clock = makeSystemClock();
const bound = () => AbortSignal.timeout(20_000);

/** Operations whose only kind `thing.make` has these steps and locks `thing:NAME`. */
function makeThings(store: Store, steps: Step[], driver: OperationsOptions['driver'] = {}): DrivenOperations {
  const events = makeEvents({ store, clock });
  const limits = {
    pause: { firstMs: 1, mostMs: 4 },
    graceMs: 50,
    undoAttempts: 4,
    undoAttemptsForGood: 2,
    interruptions: 3,
  };
  const operations = makeOperations({
    store,
    events,
    clock,
    log: process.env.LOG ? makeLogger('t') : makeSilentLogger(),
    driver: { limits, ...driver },
  });
  operations.register(
    makeOperation({
      kind: 'thing.make',
      params: z.object({ name: z.string() }),
      locks: ({ name }) => [`thing:${name}`],
      title: ({ name }) => `Make the thing ${name}`,
      steps: () => steps,
    }),
  );
  return operations;
}

function begin(store: Store, operations: DrivenOperations, name = 'a') {
  return store.transaction((sql) => operations.start(sql, 'thing.make', { name }, { by: 'root', reason: 'a test' }));
}

withStores((test) => {
  test('an operation runs its steps in order, hands outputs on, and tells it all as events', async ({ store }) => {
    const seen: unknown[] = [];
    const operations = makeThings(store, [
      {
        name: 'one',
        timeoutMs: 1_000,
        do: async ({ say }) => {
          say('hello\nworld');
          return { port: 1 };
        },
      },
      { name: 'two', timeoutMs: 1_000, do: async ({ outputs }) => void seen.push(outputs) },
    ]);
    await operations.driver.start();
    const { id, title, state } = await begin(store, operations);
    assert.deepEqual([title, state], ['Make the thing a', 'pending']);
    const view = await operations.wait(id, bound());
    assert.equal(view.state, 'succeeded');
    assert.deepEqual(seen, [{ one: { port: 1 } }]);
    assert.deepEqual(
      view.steps.map(({ name, state, attempts, output, lines }) => ({ name, state, attempts, output, lines })),
      [
        { name: 'one', state: 'done', attempts: 1, output: { port: 1 }, lines: ['hello', 'world'] },
        { name: 'two', state: 'done', attempts: 1, output: null, lines: [] },
      ],
    );
    assert.ok(view.durationMs !== null && view.durationMs >= 0 && view.steps.every((step) => step.durationMs !== null));
    const { items } = await makeEvents({ store, clock }).list({ subject: `operation:${id}` });
    assert.deepEqual(items.map(({ kind, data }) => [kind, (data as { state?: string }).state]).reverse(), [
      ['operation.started', undefined],
      ['operation.step', 'running'],
      ['operation.changed', 'running'],
      ['operation.said', undefined],
      ['operation.step', 'done'],
      ['operation.step', 'running'],
      ['operation.step', 'done'],
      ['operation.ended', 'succeeded'],
    ]);
    assert.equal(items.at(-1)?.reason, 'a test');
    await operations.driver.stop();
  });
}, readPlatformMigrations);
