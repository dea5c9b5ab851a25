// Tries an operation in a world: as it is, with each step twice, failing at each point, and killed at each point and after
// each call that leaves the controller. After every run all that exists must be what the store says.
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { OperationKind, OperationView, Step } from '../../src/platform/operations/operation.ts';
import type { FaultPoint } from '../../src/platform/operations/run-operation.ts';
import type { Sql } from '../../src/platform/store.ts';
import { assertConsistent } from './consistency.ts';
import { type Controller, makeDeployedWorld, type World, type WorldOptions } from './world.ts';

export interface Trial {
  kind: string;
  /** Brings the world to where the operation can begin; gives what begins it. Called before every run. */
  prepare(world: World): Promise<(sql: Sql, controller: Controller) => Promise<{ id: string }>>;
  /** Looks after what fails beside the operation while it runs, as a loop of the controller does. */
  loop?(world: World): Promise<void>;
  /** Each attempt makes things under new names: a call fails once whatever the name, or it would fail for ever. */
  namesAnew?: boolean;
  /** What must hold after each run; `assertConsistent` unless told. */
  check?(world: World, view: OperationView): Promise<void>;
}

/** Where a run may be disturbed: at a point of a step, or when a call that leaves the controller is done. */
type Place = { at: FaultPoint['when']; step: string } | { at: 'call'; step: string; call: string };
type Disturb = (place: Place) => 'fail' | 'kill' | undefined;

/** Calls that change nothing: a kill after one of them is like a kill before the next. */
const READS = /\.(read|list|usage|servers|capabilities|checkHealth)[A-Za-z]* /;
const GOOD = ['succeeded'];
const UNDONE = ['recovered', 'failed'];
const calm: Disturb = () => undefined;

const nameOf = (place: Place): string =>
  place.at === 'call' ? `${place.call} in ${place.step}` : `${place.at} of ${place.step}`;

/** `fleet.instances.create node-1 in container` as it is in every run, whatever the names. */
const withoutNames = (place: string): string => place.replace(/ .* in /, ' in ');

/** Each place is disturbed the first time that the run comes to it, and not again. */
const onceEach = (disturb: Disturb, keyOf: (name: string) => string = (name) => name): Disturb => {
  const known = new Set<string>();
  return (place) => {
    const key = keyOf(nameOf(place));
    if (known.has(key)) return undefined;
    const how = disturb(place);
    if (how !== undefined) known.add(key);
    return how;
  };
};

/** `meanwhile` happens before each point of the operation. */
async function runOnce(world: World, trial: Trial, disturb: Disturb, meanwhile = async (): Promise<void> => {}) {
  const begin = await trial.prepare(world);
  const points: FaultPoint[] = [];
  const places = new Set<string>();
  const happened: string[] = [];
  let tried: string | undefined;
  let step = '';
  const visit = (place: Place) => {
    if (place.at === 'call') places.add(nameOf(place));
    const how = disturb(place);
    if (how === undefined) return;
    happened.push(`${how} at ${nameOf(place)}`);
    if (how === 'kill') world.crash();
    throw new Error(`the test made it ${how} at ${nameOf(place)}`);
  };
  world.onPoint = async (point) => {
    tried ??= point.kind === trial.kind ? point.operation : undefined;
    if (point.operation !== tried) return;
    points.push(point);
    step = point.step;
    await meanwhile();
    visit({ at: point.when, step });
  };
  world.onCall = (call) => {
    if (tried !== undefined && !READS.test(call)) visit({ at: 'call', step, call });
  };
  const { id } = await world.begin(begin);
  const turning = turn(world, trial);
  const view = await world.ended(id);
  world.onPoint = () => undefined;
  world.onCall = () => undefined;
  await turning.stop();
  await world.quiet();
  return { view, points, calls: [...places], happened };
}

/** Turns the trial's loop until it is stopped. A kill of the controller ends the loop's run, and the next one begins. */
function turn(world: World, { loop }: Trial): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const turns = async () => {
    while (loop !== undefined && !stopping.signal.aborted) {
      await loop(world).catch(() => undefined);
      await world.clock.wait(20, stopping.signal).catch(() => undefined);
    }
  };
  const ended = turns();
  return {
    stop() {
      stopping.abort();
      return ended;
    },
  };
}

async function tryOnce(
  world: World,
  trial: Trial,
  title: string,
  disturb: Disturb,
  states: readonly string[],
  meanwhile?: () => Promise<void>,
) {
  const run = await runOnce(world, trial, disturb, meanwhile);
  try {
    assert.ok(states.includes(run.view.state), `it ended ${run.view.state}: ${run.view.problem?.detail}`);
    await (trial.check ?? assertConsistent)(world, run.view);
    return run;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${trial.kind}, ${title} (${run.happened.join(', ')}): ${why}`, { cause: error });
  }
}

async function restart(world: World): Promise<void> {
  world.kill();
  await world.start();
}

/** Every step's `do` twice; then, failed at its end, every `undo` twice. */
async function assertStepsMayRunTwice(world: World, trial: Trial): Promise<void> {
  world.dress = (operations) => ({ ...operations, register: (kind) => operations.register(doubleSteps(kind)) });
  await restart(world);
  const { points } = await tryOnce(world, trial, 'each step twice', calm, GOOD);
  await tryOnce(world, trial, 'each step and undo twice', failAfter(points.at(-1)?.step), UNDONE);
  world.dress = (operations) => operations;
  await restart(world);
}

const failAfter = (step: string | undefined): Disturb =>
  onceEach((place) => (place.at === 'after-do' && place.step === step ? 'fail' : undefined));

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
 * The whole trial: every step and undo twice; killed before and after each step and after each call in it (it must
 * succeed); failed in the same places (it must be undone); and, while it is undone, every undo failed and killed there.
 */
async function assertHolds(world: World, trial: Trial): Promise<void> {
  const keyOf = trial.namesAnew === true ? withoutNames : undefined;
  await assertStepsMayRunTwice(world, trial);
  const { points, calls } = await tryOnce(world, trial, 'undisturbed', calm, GOOD);
  await tryOnce(
    world,
    trial,
    'killed everywhere',
    onceEach(() => 'kill', keyOf),
    GOOD,
  );
  const steps = [...new Set(points.map((point) => point.step))];
  for (const step of steps) {
    for (const when of ['before-do', 'after-do'] as const) {
      const fail = onceEach((place) => (place.at === when && place.step === step ? 'fail' : undefined));
      // What agents learn of a state half way must be taken back too.
      await tryOnce(world, trial, 'failed', fail, UNDONE, () => world.resync());
    }
  }
  for (const call of new Set(calls.map(withoutNames))) {
    const fail = onceEach(
      (place) => (place.at === 'call' && withoutNames(nameOf(place)) === call ? 'fail' : undefined),
      keyOf,
    );
    // Where a loop mends what failed it may succeed all the same.
    await tryOnce(world, trial, 'failed', fail, trial.loop === undefined ? UNDONE : [...UNDONE, ...GOOD]);
  }
  for (const how of ['fail', 'kill'] as const) {
    const fail = failAfter(steps.at(-1));
    let isUndone = false;
    const disturb = onceEach((place) => {
      isUndone ||= place.at === 'before-undo';
      return isUndone ? how : fail(place);
    }, keyOf);
    const outcome = await tryOnce(world, trial, `failed, then ${how} everywhere`, disturb, UNDONE);
    assert.ok(outcome.happened.length > 0);
  }
}

/** Declares a test for each trial, by its title. All share a world that is up; after a failure the next begins anew. */
export function describeTrials(title: string, trials: Record<string, Trial>, options: WorldOptions = {}): void {
  void describe(title, () => {
    let world: World | undefined;
    after(() => world?.close());
    for (const [what, trial] of Object.entries(trials)) {
      void it(`${what} ends well or is undone, whatever happens`, async () => {
        world ??= await makeDeployedWorld(options);
        try {
          await assertHolds(world, trial);
        } catch (error) {
          world.kill();
          await world.close();
          world = undefined;
          throw error;
        }
      });
    }
  });
}
