// A stage for one property: a small deployment, one or more controllers, and time that the test moves in steps. Apart from
// run-seed.ts, where chance decides what happens; here the test does.
import type { Store } from '../../src/platform/store.ts';
import { makeTestClock, type TestClock } from '../../src/platform/test-clock.ts';
import type { RunOrder } from '../../src/protocol/contract.ts';
import type { Sequencer } from '../../src/sequencer/sequencer.ts';
import type { SequencerSettings } from '../../src/sequencer/settings.ts';
import { makeSimulatedFleet, type SimulatedFleet } from './fleet.ts';
import { makeChance } from './random.ts';
import { fillStore, makeController } from './world.ts';

export interface Stage {
  readonly store: Store;
  readonly clock: TestClock;
  readonly fleet: SimulatedFleet;
  readonly controller: Sequencer;
  /** Time since the start, milliseconds. */
  now(): number;
  /** The instant of a time since the start. */
  at(ms: number): Date;
  /** Moves on in steps of half a second, with all that happens meanwhile. */
  run(ms: number): Promise<void>;
  /** Moves on until the promise has settled. */
  until<T>(promise: Promise<T>): Promise<T>;
  /** While true nothing is ticked, chosen or reclaimed. */
  asleep: boolean;
}

export interface StageOptions {
  servers?: readonly string[];
  sites?: number;
  slots?: number;
  work?: (order: RunOrder, nowMs: number) => { takesMs: number; code: number };
  settings?: Partial<SequencerSettings>;
  /** The stores of further controllers of the same database. */
  others?: readonly Store[];
  delayMs?: number;
  startAt?: Date;
}

const STEP_MS = 500;

export async function makeStage(store: Store, options: StageOptions = {}): Promise<Stage> {
  const { servers = ['a', 'b'], sites = 2, slots = 4, delayMs = 0 } = options;
  const chance = makeChance(7);
  const clock = makeTestClock();
  const startMs = (options.startAt ?? new Date(clock.nowMs())).getTime();
  const shiftMs = startMs - clock.nowMs();
  const time = { at: () => new Date(clock.nowMs() + shiftMs) };
  await fillStore(store, servers, sites);
  const controllers: Sequencer[] = [];
  const fleet = makeSimulatedFleet({
    ...{ servers, slots, chance, clock, marginMs: 2_000 },
    controllerOf: (server) => controllers[(server.codePointAt(0) ?? 0) % controllers.length],
    work: (order) => options.work?.(order, clock.monotonicMs()) ?? { takesMs: 200, code: 0 },
    network: () => ({ loss: 0, delayMs }),
  });
  const settings = { siteMost: 100, ...options.settings };
  for (const one of [store, ...(options.others ?? [])])
    controllers.push(makeController({ store: one, clock, time, chance, agents: fleet, settings }));
  const [controller] = controllers;
  if (controller === undefined) throw new Error('there is one at least');

  const stage: Stage = {
    ...{ store, clock, fleet, controller, asleep: false },
    now: () => clock.monotonicMs(),
    at: (ms) => new Date(startMs + ms),
    async run(ms) {
      for (let left = ms; left > 0; left -= STEP_MS) {
        await clock.advance(STEP_MS);
        const whole = clock.monotonicMs() % 1_000 === 0;
        if (whole && !stage.asleep) fleet.beat();
        await fleet.step();
        if (stage.asleep) continue;
        for (const one of controllers) {
          if (whole) await one.tick();
          await one.choose();
          if (whole) await one.reclaim();
        }
        await fleet.step();
      }
    },
    async until(promise) {
      let settled = false;
      const end = () => {
        settled = true;
      };
      promise.then(end, end);
      for (let turn = 0; turn < 400 && !settled; turn += 1) await stage.run(STEP_MS);
      return promise;
    },
  };
  return stage;
}
