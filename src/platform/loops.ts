// Level-triggered loops: each looks at desired and actual state now and then, and acts. One driver owns timer,
// wake-up, one-at-a-time, shutdown and last status, so that a loop is only its `runOnce`.
import type { Clock } from '../lib/clock.ts';
import { commonProblems, type ProblemDocument, toProblem } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { type Bell, makeBell } from './bell.ts';
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
  /** Aborts the runs under way and resolves when they have ended, or after ten seconds. A later start still waits for them. */
  stop(): Promise<void>;
}

export interface LoopsOptions {
  clock: Clock;
  log: Logger;
  /** 0 to 1; scatters the runs by a tenth, so that loops and controllers do not keep step. */
  random?: () => number;
}

const STOP_GRACE_MS = 10_000;

interface Turning {
  readonly loop: Loop;
  readonly status: LoopStatus;
  /** Rung by `wake`. */
  readonly woken: Bell;
  /** Rung when a run has ended; `ended` counts them. */
  readonly ended: Bell;
  /** How many runs have begun. */
  begun: number;
}

/** Makes the driver of all loops. start and stop may come in any order and any number of times. */
export function makeLoops(options: LoopsOptions): Loops {
  const { clock, log, random = Math.random } = options;
  const turnings = new Map<string, Turning>();
  let running: { stop: AbortController; ends: Promise<void>[] } | undefined;
  // A start waits for the stop before it: never are two runs of a loop under way.
  let stopped: Promise<void> = Promise.resolve();

  const find = (name: string): Turning => {
    const turning = turnings.get(name);
    if (turning === undefined) throw commonProblems.make('not-found', { noun: 'loop', name });
    return turning;
  };

  async function turn(turning: Turning, signal: AbortSignal): Promise<void> {
    const { loop, status, woken } = turning;
    await stopped;
    while (!signal.aborted) {
      const since = woken.rings;
      await runLoop(turning, signal);
      if (signal.aborted) break;
      const pauseMs = loop.everyMs * (0.9 + random() / 5);
      status.nextAt = new Date(clock.nowMs() + pauseMs).toISOString();
      await woken.wait(since, pauseMs, signal).catch(() => {});
    }
    Object.assign(status, { state: 'stopped', nextAt: null } satisfies Partial<LoopStatus>);
  }

  async function runLoop(turning: Turning, signal: AbortSignal): Promise<void> {
    const { loop, status } = turning;
    const beganMs = clock.monotonicMs();
    turning.begun += 1;
    const lastStartedAt = new Date(clock.nowMs()).toISOString();
    Object.assign(status, { state: 'running', lastStartedAt, nextAt: null } satisfies Partial<LoopStatus>);
    const bound = new AbortController();
    const over = new AbortController();
    const abort = () => bound.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    const seconds = loop.timeoutMs / 1000;
    clock.wait(loop.timeoutMs, over.signal).then(
      () => {
        status.state = 'stuck';
        bound.abort(commonProblems.make('timed-out', { what: `The loop ${loop.name}`, seconds }));
      },
      () => {},
    );
    try {
      const result = await loop.runOnce(bound.signal);
      bound.signal.throwIfAborted();
      Object.assign(status, { lastResult: result, lastProblem: null } satisfies Partial<LoopStatus>);
    } catch (error) {
      if (!signal.aborted) {
        const problem = toProblem(bound.signal.aborted ? bound.signal.reason : error);
        status.failures += 1;
        status.lastProblem = problem.document;
        log.warn({ loop: loop.name, problem: problem.document }, 'a loop failed; its next run tries again');
      }
    } finally {
      over.abort();
      signal.removeEventListener('abort', abort);
      status.runs += 1;
      status.lastDurationMs = Math.round(clock.monotonicMs() - beganMs);
      status.state = 'idle';
      turning.ended.ring();
    }
  }

  const begin = (turning: Turning) => running?.ends.push(turn(turning, running.stop.signal));

  return {
    add(loop) {
      if (turnings.has(loop.name)) throw new Error(`there are two loops named ${loop.name}`);
      const { name, wrongWhen, everyMs } = loop;
      const status: LoopStatus = {
        name,
        wrongWhen,
        everyMs,
        state: 'stopped',
        runs: 0,
        failures: 0,
        lastStartedAt: null,
        lastDurationMs: null,
        lastResult: null,
        lastProblem: null,
        nextAt: null,
      };
      const turning = { loop, status, woken: makeBell(clock), ended: makeBell(clock), begun: 0 };
      turnings.set(name, turning);
      begin(turning);
    },
    wake: (name) => find(name).woken.ring(),
    statuses: () => [...turnings.values()].map(({ status }) => ({ ...status })),
    async ran(name, signal) {
      const turning = find(name);
      const { begun } = turning;
      for (;;) {
        const since = turning.ended.rings;
        if (since > begun) return { ...turning.status };
        await turning.ended.wait(since, turning.loop.everyMs, signal);
      }
    },
    start() {
      if (running !== undefined) return;
      running = { stop: new AbortController(), ends: [] };
      for (const turning of turnings.values()) begin(turning);
    },
    async stop() {
      if (running !== undefined) {
        const { stop, ends } = running;
        running = undefined;
        stop.abort(new Error('the controller stops'));
        stopped = Promise.all([stopped, ...ends]).then(() => {});
      }
      const over = new AbortController();
      await Promise.race([stopped, clock.wait(STOP_GRACE_MS, over.signal).catch(() => {})]);
      over.abort();
    },
  };
}
