// Tries an operation in a world: as it is, with each step twice, failing and killed at each point, and killed after each
// call that leaves the controller. After every run all that exists must be what the store says.
import assert from 'node:assert/strict';
import type { OperationKind, OperationView, Step } from '../../src/platform/operations/operation.ts';
import type { FaultPoint } from '../../src/platform/operations/run-operation.ts';
import type { Sql } from '../../src/platform/store.ts';
import { assertConsistent } from './consistency.ts';
import type { Controller, World } from './world.ts';

export interface Trial {
  kind: string;
  /** Brings the world to where the operation can begin; gives what begins it. Called before every run. */
  prepare(world: World): Promise<(sql: Sql, controller: Controller) => Promise<{ id: string }>>;
  /** What must hold beyond what always must. */
  check?(world: World, view: OperationView): Promise<void>;
  /** False where what exists after the end is not what the store says, as of a deployment that is gone. */
  consistent?: boolean;
}

type When = FaultPoint['when'];
interface Disturbance {
  step: string;
  when: When;
  how: 'fail' | 'kill';
}

/** Calls that change nothing: a kill after one of them is like a kill before the next. */
const READS = /\.(read|list|usage|servers|capabilities|checkHealth)[A-Za-z]*$/;
const GOOD = ['succeeded'];
const UNDONE = ['recovered', 'failed'];

/** Runs it once; each disturbance happens once. `killAt`: also killed after that many calls have left the controller. */
async function runOnce(
  world: World,
  trial: Trial,
  disturbances: readonly Disturbance[],
  killAt?: number,
): Promise<{ view: OperationView; points: FaultPoint[]; calls: string[] }> {
  const begin = await trial.prepare(world);
  const left = [...disturbances];
  const points: FaultPoint[] = [];
  const calls: string[] = [];
  const restarts: Promise<unknown>[] = [];
  const killed = (why: string) => {
    world.kill();
    // The next life begins when this one's call stack is gone.
    restarts.push(new Promise((resolve) => setImmediate(resolve)).then(() => world.start()));
    throw new Error(why);
  };
  let tried: string | undefined;
  world.onPoint = (point) => {
    tried ??= point.kind === trial.kind ? point.operation : undefined;
    if (point.operation !== tried) return;
    points.push(point);
    const at = left.findIndex(({ step, when }) => step === point.step && when === point.when);
    const [disturbance] = at === -1 ? [] : left.splice(at, 1);
    if (disturbance === undefined) return;
    const why = `the test made it ${disturbance.how} at ${point.when} of ${point.step}`;
    if (disturbance.how === 'kill') killed(why);
    throw new Error(why);
  };
  world.onCall = (call) => {
    if (tried === undefined || restarts.length > 0 || READS.test(call)) return;
    if (calls.push(call) === killAt) killed(`the test killed it after ${call}`);
  };
  try {
    const { id } = await world.begin(begin);
    const view = await world.ended(id);
    await world.quiet();
    await Promise.all(restarts);
    assert.deepEqual(left, [], 'the operation never came to these points');
    return { view, points, calls };
  } finally {
    world.onPoint = () => undefined;
    world.onCall = () => undefined;
  }
}

async function tryOnce(
  world: World,
  trial: Trial,
  given: { disturbances?: readonly Disturbance[]; killAt?: number; title: string },
  states: readonly string[],
) {
  try {
    const run = await runOnce(world, trial, given.disturbances ?? [], given.killAt);
    assert.ok(states.includes(run.view.state), `it ended ${run.view.state}: ${run.view.problem?.detail}`);
    if (trial.consistent !== false) await assertConsistent(world);
    await trial.check?.(world, run.view);
    return run;
  } catch (error) {
    throw new Error(`${trial.kind}, ${given.title}: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}

/** Every step's `do` twice, then, failed at its end, every `undo` twice. */
export async function assertStepsMayRunTwice(world: World, trial: Trial): Promise<void> {
  world.dress = (operations) => ({ ...operations, register: (kind) => operations.register(doubleSteps(kind)) });
  world.kill();
  await world.start();
  const { points } = await tryOnce(world, trial, { title: 'each step twice' }, GOOD);
  const disturbances = [failAt(points)];
  await tryOnce(world, trial, { title: 'each step and undo twice', disturbances }, UNDONE);
  world.dress = (operations) => operations;
  world.kill();
  await world.start();
}

function failAt(points: readonly FaultPoint[]): Disturbance {
  return { step: points.at(-1)?.step ?? '', when: 'after-do', how: 'fail' };
}

function doubleSteps<P>(kind: OperationKind<P>): OperationKind<P> {
  return {
    ...kind,
    steps: (params) =>
      kind.steps(params).map((step): Step => {
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
      }),
  };
}

/**
 * Kills the controller before and after each step's `do` (it must succeed), fails it there (it must be undone), does both
 * to each `undo`, and kills it after each call to an engine or agent, forwards and backwards. Returns how many runs.
 */
export async function assertSurvivesFaults(world: World, trial: Trial): Promise<number> {
  let runs = 0;
  const attempt = (title: string, disturbances: readonly Disturbance[], states: readonly string[], killAt?: number) => {
    runs += 1;
    return tryOnce(world, trial, { title, disturbances, ...(killAt === undefined ? {} : { killAt }) }, states);
  };
  const plain = await attempt('undisturbed', [], GOOD);
  const last = failAt(plain.points);
  const failed = await attempt(`failed after ${last.step}`, [last], UNDONE);
  const undone = failed.points.filter(({ when }) => when === 'before-undo').map(({ step }) => step);
  for (const step of new Set(plain.points.map((point) => point.step))) {
    for (const when of ['before-do', 'after-do'] as const) {
      await attempt(`killed ${when} of ${step}`, [{ step, when, how: 'kill' }], GOOD);
      await attempt(`failed ${when} of ${step}`, [{ step, when, how: 'fail' }], UNDONE);
    }
    if (!undone.includes(step)) continue;
    for (const when of ['before-undo', 'after-undo'] as const) {
      await attempt(`killed ${when} of ${step}`, [last, { step, when, how: 'kill' }], UNDONE);
      await attempt(`failed ${when} of ${step}`, [last, { step, when, how: 'fail' }], UNDONE);
    }
  }
  for (let call = 1; call <= plain.calls.length; call += 1) {
    await attempt(`killed after call ${call}, ${plain.calls[call - 1]}`, [], GOOD, call);
  }
  for (let call = plain.calls.length + 1; call <= failed.calls.length; call += 1) {
    await attempt(`failed, then killed after call ${call}, ${failed.calls[call - 1]}`, [last], UNDONE, call);
  }
  return runs;
}

/** Both, in one go. */
export async function assertHolds(world: World, trial: Trial): Promise<number> {
  await assertStepsMayRunTwice(world, trial);
  return await assertSurvivesFaults(world, trial);
}
