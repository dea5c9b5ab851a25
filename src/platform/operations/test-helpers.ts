// Two trials that every operation must pass: each step run twice, and a failure and a kill at each point of each step.
// Apart from the tests, because every room's operations are tried this way.
import assert from 'node:assert/strict';
import { makeSystemClock } from '../../lib/clock.ts';
import { makeSilentLogger } from '../../lib/log.ts';
import { makeEvents } from '../events.ts';
import type { Store } from '../store.ts';
import type { OperationKind, Operations, OperationView, Step } from './operation.ts';
import { type DrivenOperations, makeOperations, type OperationsOptions } from './operations.ts';
import type { FaultPoint } from './run-operation.ts';

/** One operation to try, in a world of its own. */
export interface Trial {
  store: Store;
  /** Registers its kind and those that it starts; called for each driver, as at each start of a controller. */
  register(operations: Operations): void;
  kind: string;
  params: unknown;
  /** Compares what exists in the engines with what the store says; throws when they differ. */
  check(view: OperationView): Promise<void>;
}

/** Makes a fresh world: new engines, and names that no trial before used. */
export type SetUp = () => Promise<Trial>;

const END_TIMEOUT_MS = 30_000;

export const quickLimits: NonNullable<NonNullable<OperationsOptions['driver']>['limits']> = {
  pause: { firstMs: 1, mostMs: 5 },
  graceMs: 1_000,
  undoAttempts: 10,
  undoAttemptsForGood: 3,
  interruptions: 10,
};

/** Operations on a store with pauses of milliseconds, for tests. */
export function makeQuickOperations(store: Store, driver: OperationsOptions['driver'] = {}): DrivenOperations {
  const clock = makeSystemClock();
  const options = { alone: true, pollMs: 20, limits: quickLimits, ...driver };
  return makeOperations({
    store,
    events: makeEvents({ store, clock }),
    clock,
    log: makeSilentLogger(),
    driver: options,
  });
}

/** Where and how one run of a trial is disturbed. */
interface Disturbance {
  step: string;
  when: FaultPoint['when'];
  how: 'fail' | 'kill';
}

/**
 * Runs the trial's operation with the disturbances, each once; after a kill a new driver goes on with the same store.
 * Returns how it ended and where it passed.
 */
async function runDisturbed(
  trial: Trial,
  disturbances: readonly Disturbance[],
  wrap: (operations: Operations) => Operations = (operations) => operations,
): Promise<{ view: OperationView; points: FaultPoint[] }> {
  const left = [...disturbances];
  const points: FaultPoint[] = [];
  let id: string | undefined;
  for (;;) {
    const killed = Promise.withResolvers<undefined>();
    const operations = makeQuickOperations(trial.store, {
      fault(point) {
        if (point.kind !== trial.kind) return;
        points.push(point);
        const at = left.findIndex(({ step, when }) => step === point.step && when === point.when);
        const [disturbance] = at === -1 ? [] : left.splice(at, 1);
        if (disturbance === undefined) return;
        if (disturbance.how === 'kill') operations.driver.abandon();
        if (disturbance.how === 'kill') killed.resolve(undefined);
        throw new Error(`the test made it ${disturbance.how} at ${point.when} of ${point.step}`);
      },
    });
    trial.register(wrap(operations));
    await operations.driver.start();
    id ??= (await trial.store.transaction((sql) => operations.start(sql, trial.kind, trial.params, { by: 'test' }))).id;
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, AbortSignal.timeout(END_TIMEOUT_MS)]);
    const view = await Promise.race([operations.wait(id, signal), killed.promise]);
    over.abort();
    await operations.driver.stop();
    if (view === undefined) continue;
    assert.deepEqual(left, [], 'the operation never came to these points');
    return { view, points };
  }
}

async function runAndCheck(
  setUp: SetUp,
  disturbances: readonly Disturbance[],
  states: readonly string[],
): Promise<void> {
  const trial = await setUp();
  const { view } = await runDisturbed(trial, disturbances);
  const story = disturbances.map(({ how, when, step }) => `${how} ${when} of ${step}`).join(', then ');
  assert.ok(states.includes(view.state), `${story}: it ended ${view.state}: ${JSON.stringify(view.problem)}`);
  try {
    await trial.check(view);
  } catch (error) {
    throw new Error(`${story}: engines and store differ after it ended ${view.state}`, { cause: error });
  }
}

/** Runs every step's `do` twice and expects success; then fails it at its end, running every `undo` twice. */
export async function assertStepsMayRunTwice(setUp: SetUp): Promise<void> {
  const twice = (operations: Operations): Operations => ({
    ...operations,
    register: (kind) => operations.register(doubleSteps(kind)),
  });
  const trial = await setUp();
  const { view, points } = await runDisturbed(trial, [], twice);
  assert.equal(view.state, 'succeeded', JSON.stringify(view.problem));
  await trial.check(view);
  const last = points.at(-1)?.step ?? '';
  const failing = await setUp();
  const failed = await runDisturbed(failing, [{ step: last, when: 'after-do', how: 'fail' }], twice);
  assert.ok(['recovered', 'failed'].includes(failed.view.state), `it ended ${failed.view.state}`);
  await failing.check(failed.view);
}

function doubleSteps<P>(kind: OperationKind<P>): OperationKind<P> {
  const double = (step: Step): Step => {
    const { undo } = step;
    const twice: Step = {
      ...step,
      async do(ctx) {
        await step.do(ctx);
        return await step.do(ctx);
      },
    };
    if (undo === undefined) return twice;
    return {
      ...twice,
      async undo(ctx) {
        await undo.call(step, ctx);
        await undo.call(step, ctx);
      },
    };
  };
  return { ...kind, steps: (params) => kind.steps(params).map(double) };
}

/**
 * For every step: kills the controller before and after its `do` (the operation must then succeed), fails it there (it
 * must be undone), and, where the step has an undo, fails it and kills the controller before and after that undo. After
 * each run the trial's check compares engines and store. Returns how many runs that were.
 */
export async function assertSurvivesFaults(setUp: SetUp): Promise<number> {
  const { points } = await runDisturbed(await setUp(), []);
  const steps = [...new Set(points.map(({ step }) => step))];
  const last = steps.at(-1) ?? '';
  const failed = await runDisturbed(await setUp(), [{ step: last, when: 'after-do', how: 'fail' }]);
  const undone = failed.points.filter(({ when }) => when === 'before-undo').map(({ step }) => step);
  let runs = 2;
  for (const step of steps) {
    for (const when of ['before-do', 'after-do'] as const) {
      await runAndCheck(setUp, [{ step, when, how: 'kill' }], ['succeeded']);
      await runAndCheck(setUp, [{ step, when, how: 'fail' }], ['recovered', 'failed']);
      runs += 2;
    }
    if (!undone.includes(step)) continue;
    for (const when of ['before-undo', 'after-undo'] as const) {
      const fail: Disturbance = { step: last, when: 'after-do', how: 'fail' };
      await runAndCheck(setUp, [fail, { step, when, how: 'kill' }], ['recovered']);
      runs += 1;
    }
  }
  return runs;
}
