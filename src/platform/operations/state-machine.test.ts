// The state machine under everything at once: steps and undos that succeed, fail, must wait or kill their controller, and
// people who cancel. Whatever comes, the rules at the head of plan.ts hold.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { z } from 'zod';
import { commonProblems } from '../../lib/errors.ts';
import type { Store } from '../store.ts';
import { readPlatformMigrations, withStores } from '../test-store.ts';
import { makeOperation, type OperationView, type Step } from './operation.ts';
import { planNext } from './plan.ts';
import { makeQuickOperations, quickLimits } from './test-helpers.ts';

/** What one attempt does; when a script is used up, attempts succeed. */
type Act = 'ok' | 'wait' | 'fail' | 'kill before' | 'kill after' | 'cancel';

interface StepScript {
  does: Act[];
  undoes: Act[] | null;
}

const act = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Act>('ok') },
  { weight: 3, arbitrary: fc.constantFrom<Act>('wait', 'kill before', 'kill after') },
  { weight: 2, arbitrary: fc.constantFrom<Act>('fail', 'cancel') },
);
const stepScript = fc.record({
  does: fc.array(act, { maxLength: 4 }),
  undoes: fc.option(fc.array(act, { maxLength: 5 }), { freq: 4 }),
});

interface World {
  /** What exists, by step position. */
  things: Set<number>;
  /** `do 0`, `undo 0`: each that had its effect, in order. */
  log: string[];
  atOnce: number;
  mostAtOnce: number;
}

/** Runs an operation by its script with one new driver after the other, as controllers die and are started again. */
async function play(
  store: Store,
  scripts: readonly StepScript[],
  name: string,
): Promise<{ view: OperationView; world: World }> {
  const world: World = { things: new Set(), log: [], atOnce: 0, mostAtOnce: 0 };
  const queues = scripts.map(({ does, undoes }) => ({ do: [...does], undo: undoes === null ? null : [...undoes] }));
  let id: string | undefined;
  for (;;) {
    const died = Promise.withResolvers<undefined>();
    const operations = makeQuickOperations(store, { limits: { ...quickLimits, interruptions: 1_000 } });
    const die = () => {
      operations.driver.abandon();
      died.resolve(undefined);
      throw new Error('killed');
    };
    const perform = async (position: number, way: 'do' | 'undo', effect: () => void) => {
      world.atOnce += 1;
      world.mostAtOnce = Math.max(world.mostAtOnce, world.atOnce);
      try {
        const next = queues[position]?.[way]?.shift() ?? 'ok';
        await new Promise((resolve) => setImmediate(resolve));
        if (next === 'kill before') die();
        if (next === 'fail') throw new Error('failed for good');
        if (next === 'wait') throw commonProblems.make('timed-out', { what: 'It', seconds: 1 });
        if (next === 'cancel' && id !== undefined) await operations.cancel(id, 'someone').catch(() => {});
        effect();
        world.log.push(`${way} ${position}`);
        if (next === 'kill after') die();
      } finally {
        world.atOnce -= 1;
      }
    };
    const steps = scripts.map(
      ({ undoes }, at): Step => ({
        name: `step-${at}`,
        timeoutMs: 10_000,
        do: () => perform(at, 'do', () => world.things.add(at)),
        ...(undoes === null ? {} : { undo: () => perform(at, 'undo', () => world.things.delete(at)) }),
      }),
    );
    operations.register(
      makeOperation({ kind: 'x.try', params: z.null(), locks: () => [name], title: () => name, steps: () => steps }),
    );
    await operations.driver.start();
    id ??= (await store.transaction((sql) => operations.start(sql, 'x.try', null, { by: 'test' }))).id;
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, AbortSignal.timeout(20_000)]);
    const view = await Promise.race([operations.wait(id, signal), died.promise]);
    over.abort();
    await operations.driver.stop();
    if (view !== undefined) return { view, world };
  }
}

function assertRules(scripts: readonly StepScript[], view: OperationView, world: World): void {
  const left = [...world.things].sort((a, b) => a - b);
  const all = scripts.map((_, at) => at);
  const kept = all.filter((at) => scripts[at]?.undoes === null);
  const positions = (way: string) =>
    world.log.filter((entry) => entry.startsWith(`${way} `)).map((entry) => Number(entry.split(' ')[1]));
  const [done, undone] = [positions('do'), positions('undo')];
  assert.ok(world.mostAtOnce <= 1, 'never two steps at once');
  assert.deepEqual(
    done,
    done.toSorted((a, b) => a - b),
    'steps are done in order',
  );
  assert.deepEqual(
    undone,
    undone.toSorted((a, b) => b - a),
    'and undone in reverse',
  );
  const turned = world.log.findIndex((entry) => entry.startsWith('undo'));
  if (turned !== -1)
    assert.ok(!world.log.slice(turned).some((entry) => entry.startsWith('do ')), 'nothing is done after an undo');
  if (view.state === 'succeeded') {
    assert.deepEqual(left, all);
    assert.deepEqual(undone, []);
  } else if (view.state === 'fatal') {
    assert.equal(view.problem?.code, 'operations.undo-failed');
    assert.ok(
      scripts.some(({ undoes }) => undoes?.includes('fail')),
      'only an undo that fails for good is fatal',
    );
  } else {
    assert.ok(['recovered', 'failed', 'cancelled'].includes(view.state), `it ended ${view.state}`);
    assert.ok(
      left.every((at) => kept.includes(at)),
      `what has an undo is gone, but ${left} are left`,
    );
    assert.equal(view.state === 'cancelled', view.cancelledBy !== null);
    if (view.state === 'failed') assert.deepEqual(undone, []);
  }
  assert.ok(view.steps.every(({ state }) => state !== 'running' && (state !== 'undoing' || view.state === 'fatal')));
}

withStores((test) => {
  test('whatever its steps do and whoever dies or cancels, an operation ends by the rules', async ({ store }) => {
    let plays = 0;
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.array(stepScript, { minLength: 1, maxLength: 4 }), async (scripts) => {
        plays += 1;
        const { view, world } = await play(store, scripts, `play-${plays}`);
        seen.add(view.state);
        assertRules(scripts, view, world);
        const locks = await store.query('select from operation_lock where operation_id = $1', [view.id]);
        assert.equal(locks.length, view.state === 'fatal' ? 1 : 0);
      }),
      { numRuns: 80 },
    );
    assert.ok(seen.size >= 3, `the plays were all alike: ${[...seen]}`);
  });
}, readPlatformMigrations);

void test('the plan of each state: forwards, turned round, backwards, ended', () => {
  const plan = (state: 'pending' | 'running' | 'recovering', cancelled: boolean, ...states: string[]) =>
    planNext({ state, cancelled, steps: states.map((one) => ({ state: one as 'done' })) }, (at) => at !== 1);
  assert.deepEqual(plan('pending', false, 'pending', 'pending'), { act: 'do', position: 0 });
  assert.deepEqual(plan('running', false, 'done', 'running'), { act: 'do', position: 1 });
  assert.deepEqual(plan('running', true, 'done', 'running'), { act: 'turn' });
  assert.deepEqual(plan('running', true, 'done', 'done'), { act: 'end', state: 'succeeded' });
  assert.deepEqual(plan('recovering', false, 'done', 'done', 'failed', 'pending'), { act: 'undo', position: 2 });
  assert.deepEqual(plan('recovering', false, 'done', 'failed', 'undone'), { act: 'undo', position: 0 });
  assert.deepEqual(plan('recovering', false, 'undone', 'done'), { act: 'end', state: 'recovered' });
  assert.deepEqual(plan('recovering', false, 'pending', 'failed'), { act: 'end', state: 'failed' });
  assert.deepEqual(plan('recovering', true, 'undone', 'failed'), { act: 'end', state: 'cancelled' });
});
