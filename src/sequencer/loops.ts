// The sequencer's loops: how often each of its steps is taken, and when the state counts as wrong.
import type { WhenUp } from '../platform/house.ts';
import { type Loop, makeLoop } from '../platform/loops.ts';
import type { Json } from '../platform/store.ts';
import { type AlertChannel, runAlerts } from './alerts.ts';
import { runBrownout } from './brownout.ts';
import { keepHistory } from './history.ts';
import type { Sequencer } from './sequencer.ts';

export const CHOOSE_LOOP = 'sequencer.choose';

/** `whenUp` lets a loop rest while the deployment is down. */
export function makeSequencerLoops(given: {
  sequencer: Sequencer;
  channels: readonly AlertChannel[];
  addMissingTasks: () => Promise<Json>;
  whenUp: WhenUp;
}): Loop[] {
  const { sequencer, channels, addMissingTasks, whenUp } = given;
  const { parts } = sequencer;
  return [
    makeLoop({
      name: 'sequencer.tick',
      wrongWhen: 'a task is due, or a run waits though its site has room',
      everyMs: 500,
      timeoutMs: 60_000,
      runOnce: whenUp((signal) => sequencer.tick(signal)),
    }),
    makeLoop({
      name: CHOOSE_LOOP,
      wrongWhen: 'a run is next in the order of service and a server has a free slot',
      everyMs: 500,
      timeoutMs: 60_000,
      runOnce: whenUp((signal) => sequencer.choose(signal)),
    }),
    makeLoop({
      name: 'sequencer.reclaim',
      wrongWhen: 'a lease was not renewed for its time and its grace',
      everyMs: 500,
      timeoutMs: 30_000,
      runOnce: () => sequencer.reclaim(),
    }),
    makeLoop({
      name: 'sequencer.brownout',
      wrongWhen: 'pressure stays high on all servers and intervals are not stretched, or the reverse',
      everyMs: 5_000,
      timeoutMs: 30_000,
      runOnce: whenUp(async () => ({ ...(await runBrownout(parts)) })),
    }),
    makeLoop({
      name: 'sequencer.alerts',
      wrongWhen: 'something needs attention and nobody was told',
      everyMs: 10_000,
      timeoutMs: 30_000,
      runOnce: (signal) => runAlerts(parts, channels, signal),
    }),
    makeLoop({
      name: 'sequencer.recipes',
      wrongWhen: "a site lacks a task of its app's recipe",
      everyMs: 60_000,
      timeoutMs: 60_000,
      runOnce: addMissingTasks,
    }),
    makeLoop({
      name: 'sequencer.history',
      wrongWhen: 'the history has no partition for the days ahead, or one that is too old',
      everyMs: 3_600_000,
      timeoutMs: 60_000,
      runOnce: () => keepHistory(parts),
    }),
  ];
}
