// Operations on real stores: what a person sees of them, from the start to each way of ending.
import assert from 'node:assert/strict';
import { z } from 'zod';
import { commonProblems, Problem } from '../../lib/errors.ts';
import type { Store } from '../store.ts';
import { readPlatformMigrations, withStores } from '../test-store.ts';
import { makeOperation, type Operation, type Step } from './operation.ts';
import type { DrivenOperations, OperationsOptions } from './operations.ts';
import { makeQuickOperations, quickLimits } from './test-helpers.ts';

const bound = () => AbortSignal.timeout(20_000);

/** Operations whose only kind `thing.make` has these steps and locks `thing:NAME`. */
function makeThings(store: Store, steps: Step[], driver?: OperationsOptions['driver']): DrivenOperations {
  const operations = makeQuickOperations(store, driver);
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

const begin = (store: Store, operations: DrivenOperations, name = 'a', by = 'root'): Promise<Operation> =>
  store.transaction((sql) => operations.start(sql, 'thing.make', { name }, { by, reason: 'a test' }));

const step = (name: string, run: Step['do'] = async () => {}, undo?: Step['undo']): Step => ({
  name,
  timeoutMs: 5_000,
  do: run,
  ...(undo === undefined ? {} : { undo }),
});
const away = () => commonProblems.make('timed-out', { what: 'The engine', seconds: 1 });
const refused = () => commonProblems.make('not-found', { noun: 'pool', name: 'p' });
const isProblem = (code: string) => (error: unknown) => error instanceof Problem && error.code === code;
const statesOf = (view: { steps: readonly { state: string }[] }) => view.steps.map(({ state }) => state);
const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

withStores((test) => {
  test('an operation runs its steps in order, hands outputs on, and tells it all as events', async ({ store }) => {
    const seen: unknown[] = [];
    const operations = makeThings(store, [
      step('one', async ({ say }) => {
        say('hello\nworld');
        return { port: 1 };
      }),
      step('two', async ({ outputs }) => void seen.push(outputs)),
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
    assert.ok(
      view.durationMs !== null && view.durationMs >= 0 && view.steps.every(({ durationMs }) => durationMs !== null),
    );
    const events = await store.query<{ kind: string; data: { state?: string }; reason: string | null }>(
      'select kind, data, reason from event where subject = $1 order by id',
      [`operation:${id}`],
    );
    assert.deepEqual(
      events.map(({ kind, data }) => [kind, data.state]),
      [
        ['operation.started', undefined],
        ['operation.step', 'running'],
        ['operation.changed', 'running'],
        ['operation.said', undefined],
        ['operation.step', 'done'],
        ['operation.step', 'running'],
        ['operation.step', 'done'],
        ['operation.ended', 'succeeded'],
      ],
    );
    assert.equal(events[0]?.reason, 'a test');
    await operations.driver.stop();
  });

  test('a retryable problem is waited for, with its reason, and then it goes on', async ({ store }) => {
    const tried: number[] = [];
    const met = Promise.withResolvers<void>();
    let isAway = true;
    const operations = makeThings(store, [
      step('reach', async () => {
        if (tried.push(1) > 2) met.resolve();
        if (isAway) throw away();
      }),
    ]);
    await operations.driver.start();
    const { id } = await begin(store, operations);
    await met.promise;
    const waiting = await operations.read(id);
    assert.equal(waiting.state, 'running');
    assert.equal(waiting.waiting?.step, 'reach');
    assert.equal(waiting.waiting.problem.code, 'common.timed-out');
    isAway = false;
    const view = await operations.wait(id, bound());
    assert.deepEqual([view.state, view.waiting, view.steps[0]?.attempts], ['succeeded', null, tried.length]);
    const events = await store.query(`select from event where kind = 'operation.waiting'`);
    assert.equal(events.length, 1, 'the same reason is told once, not at each try');
    await operations.driver.stop();
  });

  test('a retryable problem that lasts longer than the step may is undone, and the reason stays', async ({ store }) => {
    const undone: string[] = [];
    const reach = step(
      'reach',
      () => Promise.reject(away()),
      async () => void undone.push('reach'),
    );
    const operations = makeThings(store, [
      step('make', undefined, async () => void undone.push('make')),
      { ...reach, timeoutMs: 60 },
    ]);
    await operations.driver.start();
    const view = await operations.wait((await begin(store, operations)).id, bound());
    assert.deepEqual([view.state, view.problem?.code], ['recovered', 'operations.step-timed-out']);
    assert.match(view.problem?.detail ?? '', /The engine did not end within 1 s/);
    assert.deepEqual(
      [undone, statesOf(view)],
      [
        ['reach', 'make'],
        ['undone', 'undone'],
      ],
    );
    await operations.driver.stop();
  });

  test('a step that hangs is aborted at its time limit and undone', async ({ store }) => {
    const undone: string[] = [];
    const hang = step(
      'hang',
      ({ signal }) => untilAborted(signal),
      async () => void undone.push('hang'),
    );
    const operations = makeThings(store, [{ ...hang, timeoutMs: 30 }]);
    await operations.driver.start();
    const view = await operations.wait((await begin(store, operations)).id, bound());
    assert.deepEqual([view.state, view.problem?.code, undone], ['recovered', 'operations.step-timed-out', ['hang']]);
    await operations.driver.stop();
  });

  test('a step that fails is undone with those before it, last first; without undos the operation just failed', async ({
    store,
  }) => {
    const undone: string[] = [];
    const undo = (name: string) => async () => void undone.push(name);
    const operations = makeThings(store, [
      step('one', undefined, undo('one')),
      step('two'),
      step('three', () => Promise.reject(refused()), undo('three')),
      step('four', undefined, undo('four')),
    ]);
    await operations.driver.start();
    const view = await operations.wait((await begin(store, operations)).id, bound());
    assert.deepEqual([view.state, view.problem?.code, undone], ['recovered', 'common.not-found', ['three', 'one']]);
    assert.deepEqual(statesOf(view), ['undone', 'done', 'undone', 'pending']);
    assert.equal(view.steps[2]?.problem?.code, 'common.not-found');
    await operations.driver.stop();

    const plain = makeThings(store, [step('one'), step('two', () => Promise.reject(new TypeError('a fault')))]);
    await plain.driver.start();
    const failed = await plain.wait((await begin(store, plain)).id, bound());
    assert.deepEqual([failed.state, failed.problem?.code], ['failed', 'common.internal']);
    await plain.driver.stop();
  });

  test('an undo that fails for good is fatal and keeps the lock until it is resumed or released', async ({ store }) => {
    let broken = true;
    const undo = async () => {
      if (broken) throw refused();
    };
    const operations = makeThings(store, [step('one', undefined, undo), step('two', () => Promise.reject(refused()))]);
    await operations.driver.start();
    const { id } = await begin(store, operations);
    const fatal = await operations.wait(id, bound());
    assert.deepEqual([fatal.state, fatal.problem?.code], ['fatal', 'operations.undo-failed']);
    assert.match(fatal.problem?.todo ?? '', /espalier operation resume/);
    assert.equal(fatal.steps[0]?.undoAttempts, quickLimits.undoAttemptsForGood);
    await assert.rejects(begin(store, operations), (error) => {
      assert.ok(isProblem('operations.locked')(error));
      assert.match((error as Problem).document.todo, new RegExp(`operation resume ${id}`));
      return true;
    });
    broken = false;
    await operations.resume(id, 'root');
    assert.equal((await operations.wait(id, bound())).state, 'recovered');
    await assert.rejects(operations.resume(id, 'root'), isProblem('operations.not-fatal'));

    broken = true;
    const again = await begin(store, operations);
    assert.equal((await operations.wait(again.id, bound())).state, 'fatal');
    await operations.release(again.id, 'root');
    broken = false;
    await operations.wait((await begin(store, operations)).id, bound());
    await operations.driver.stop();
  });

  test('an operation that waits, runs or has not begun can be cancelled, and one that has ended cannot', async ({
    store,
  }) => {
    const undone: string[] = [];
    const begun = Promise.withResolvers<void>();
    const hang: Step['do'] = async ({ signal }) => {
      begun.resolve();
      await untilAborted(signal);
    };
    const secondCancelled = Promise.withResolvers<void>();
    const operations = makeThings(store, [
      step('one', undefined, async () => void undone.push('one')),
      step('hang', hang, async () => {
        await secondCancelled.promise;
        undone.push('hang');
      }),
    ]);
    const early = await begin(store, operations, 'early');
    await operations.cancel(early.id, 'ann');
    await operations.driver.start();
    const never = await operations.wait(early.id, bound());
    assert.deepEqual(
      [never.state, never.cancelledBy, statesOf(never), undone],
      ['cancelled', 'ann', ['pending', 'pending'], []],
    );
    const { id } = await begin(store, operations, 'late');
    await begun.promise;
    await operations.cancel(id, 'ann');
    await operations.cancel(id, 'bob');
    secondCancelled.resolve();
    const view = await operations.wait(id, bound());
    assert.deepEqual([view.state, view.cancelledBy, view.problem?.code], ['cancelled', 'ann', 'operations.cancelled']);
    assert.deepEqual(undone, ['hang', 'one']);
    await assert.rejects(operations.cancel(id, 'ann'), isProblem('operations.ended'));
    await assert.rejects(operations.cancel('o0', 'ann'), isProblem('common.not-found'));
    await operations.driver.stop();

    const pause = { firstMs: 60_000, mostMs: 60_000 };
    const patient = makeThings(store, [{ ...step('reach', () => Promise.reject(away())), timeoutMs: 600_000 }], {
      limits: { ...quickLimits, pause },
    });
    await patient.driver.start();
    const waiting = await begin(store, patient, 'waiting');
    while ((await patient.read(waiting.id)).waiting === null) await new Promise((resolve) => setImmediate(resolve));
    await patient.cancel(waiting.id, 'ann');
    const ended = await patient.wait(waiting.id, bound());
    assert.deepEqual([ended.state, statesOf(ended)], ['cancelled', ['failed']]);
    await patient.driver.stop();
  });

  test('what another operation holds is refused by name, and nothing is stored', async ({ store }) => {
    const operations = makeThings(store, [step('one')]);
    const { id } = await begin(store, operations);
    await assert.rejects(begin(store, operations), (error) => {
      assert.ok(error instanceof Problem);
      assert.equal(error.code, 'operations.locked');
      assert.deepEqual(error.document.about, {
        lock: 'thing:a',
        holder: id,
        title: 'Make the thing a',
        state: 'pending',
      });
      return true;
    });
    await assert.rejects(
      store.transaction((sql) => operations.start(sql, 'thing.make', { name: 1 }, { by: 'root' })),
      isProblem('common.invalid-input'),
    );
    await assert.rejects(
      store.transaction((sql) => operations.start(sql, 'thing.eat', {}, { by: 'root' })),
      isProblem('operations.unknown-kind'),
    );
    assert.equal((await operations.list()).items.length, 1);
  });

  test('of many that want the same lock at once, one gets it', async ({ store }) => {
    const operations = makeThings(store, [step('one')]);
    const begun = await Promise.allSettled(Array.from({ length: 6 }, () => begin(store, operations)));
    assert.equal(begun.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const one of begun) if (one.status === 'rejected') assert.ok(isProblem('operations.locked')(one.reason));
  });

  test('operations are listed newest first by state, kind, lock and page, and old ones are trimmed', async ({
    store,
  }) => {
    const operations = makeThings(store, [step('one')]);
    const ids: string[] = [];
    for (const name of ['a', 'b', 'c']) ids.unshift((await begin(store, operations, name)).id);
    const first = await operations.list({ limit: 2 });
    assert.deepEqual(
      first.items.map(({ id }) => id),
      ids.slice(0, 2),
    );
    const second = await operations.list({ limit: 2, pageToken: first.nextPageToken ?? '' });
    assert.deepEqual([second.items.map(({ id }) => id), second.nextPageToken], [ids.slice(2), null]);
    assert.deepEqual(
      (await operations.list({ lock: 'thing:b' })).items.map(({ id }) => id),
      ids.slice(1, 2),
    );
    assert.deepEqual((await operations.list({ states: ['running'] })).items, []);
    await operations.driver.start();
    for (const id of ids) await operations.wait(id, bound());
    assert.equal(await operations.trim(60_000), 0);
    await store.query(`update operation set ended_at = ended_at - interval '1 hour' where id = $1`, [ids[0]]);
    assert.equal(await operations.trim(60_000), 1);
    assert.equal((await operations.list({ kind: 'thing.make', states: ['succeeded'] })).items.length, 2);
    await operations.driver.stop();
  });

  test('no more run at once than are allowed, but those that others wait for always do', async ({ store }) => {
    let [atOnce, most] = [0, 0];
    const operations: DrivenOperations = makeThings(
      store,
      [
        step('parent', async ({ operationId, signal }) => {
          const { by } = await operations.read(operationId);
          if (by !== 'root') return;
          most = Math.max(most, ++atOnce);
          const child = await begin(store, operations, `child-${operationId}`, `operation:${operationId}`);
          await operations.wait(child.id, signal);
          atOnce -= 1;
        }),
      ],
      { concurrency: 2 },
    );
    await operations.driver.start();
    const begun = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => begin(store, operations, name)));
    for (const { id } of begun) assert.equal((await operations.wait(id, bound())).state, 'succeeded');
    assert.equal(most, 2);
    await operations.driver.stop();
  });

  test('a controller that stops leaves its operations to the next one at once', async ({ store }) => {
    const begun = Promise.withResolvers<void>();
    const first = makeThings(store, [
      step('hang', async ({ signal }) => {
        begun.resolve();
        await untilAborted(signal);
      }),
    ]);
    await first.driver.start();
    const { id } = await begin(store, first);
    await begun.promise;
    await first.driver.stop();
    assert.equal((await first.read(id)).state, 'running');
    const second = makeThings(store, [step('hang')], { alone: false });
    await second.driver.start();
    const view = await second.wait(id, bound());
    assert.deepEqual([view.state, view.steps[0]?.attempts], ['succeeded', 2]);
    await second.driver.stop();
  });

  test('an operation that this program would run differently is fatal and says so', async ({ store }) => {
    const old = makeThings(store, [step('one'), step('two')]);
    const { id } = await begin(store, old);
    const operations = makeThings(store, [step('one'), step('zwei')]);
    await operations.driver.start();
    const view = await operations.wait(id, bound());
    assert.deepEqual([view.state, view.problem?.code], ['fatal', 'operations.cannot-resume']);
    await operations.driver.stop();
  });

  test('a step that kills its controller each time is given up', async ({ store }) => {
    const undone: string[] = [];
    const { id } = await begin(store, makeThings(store, [step('poison')]));
    for (let start = 0; start <= quickLimits.interruptions; start += 1) {
      const dead = Promise.withResolvers<void>();
      const operations = makeThings(store, [
        step(
          'poison',
          async () => {
            operations.driver.abandon();
            dead.resolve();
          },
          async () => void undone.push('poison'),
        ),
      ]);
      await operations.driver.start();
      await dead.promise;
      await operations.driver.stop();
    }
    const operations = makeThings(store, [step('poison', undefined, async () => void undone.push('poison'))]);
    await operations.driver.start();
    const view = await operations.wait(id, bound());
    assert.deepEqual([view.state, view.problem?.code, undone], ['recovered', 'operations.interrupted', ['poison']]);
    await operations.driver.stop();
  });
}, readPlatformMigrations);
