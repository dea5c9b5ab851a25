// Level-triggered loops: each looks at desired and actual state now and then, and acts. One driver owns timer,
// wake-up, one-at-a-time, shutdown and last status, so that a loop is only its `runOnce`.
import type { ProblemDocument } from '../lib/errors.ts';
import type { Json } from './store.ts';

/** A loop. It is never told what changed, keeps nothing between runs and does not retry: the next run does. */
export interface Loop {
  readonly name: string;
  /** When the state counts as wrong, as a sentence for the console: `a pool has fewer ready nodes than it wants`. */
  readonly wrongWhen: string;
  readonly everyMs: number;
  /** The signal aborts after this; the run then counts as failed. */
  readonly timeoutMs: number;
  /** Looks and acts once; returns a small status (counts and reasons). */
  runOnce(signal: AbortSignal): Promise<Json>;
}

export function makeLoop(loop: Loop): Loop {
  return loop;
}

/** stopped: the driver is not running. idle: until `nextAt` or a wake. running: now. stuck: past its time limit and ignoring its signal. */
export type LoopState = 'stopped' | 'idle' | 'running' | 'stuck';

export interface LoopStatus {
  name: string;
  wrongWhen: string;
  everyMs: number;
  state: LoopState;
  runs: number;
  failures: number;
  lastStartedAt: string | null;
  lastDurationMs: number | null;
  /** What the last run that succeeded returned. */
  lastResult: Json;
  /** Why the last run failed; null when it succeeded. */
  lastProblem: ProblemDocument | null;
  nextAt: string | null;
}

export interface Loops {
  /** In any order with start and stop; a loop added while running starts at once. */
  add(loop: Loop): void;
  /** Runs the loop soon; when it is running already, once more after that. */
  wake(name: string): void;
  statuses(): LoopStatus[];
  /** Resolves with the status after the next run of this loop that begins from now on. */
  ran(name: string, signal?: AbortSignal): Promise<LoopStatus>;
  start(): void;
  /** Aborts the runs under way and resolves when they have ended. */
  stop(): Promise<void>;
}
