// Takes in how an attempt went: done, wait and try again, turn round, or fatal. Changes the record only; apart from
// run-operation.ts, which stores it.
import type { Clock } from '../../lib/clock.ts';
import { type Problem, type ProblemDocument, toProblem } from '../../lib/errors.ts';
import type { Json } from '../store.ts';
import type { Outcome } from './attempt.ts';
import type { Step } from './operation.ts';
import { pauseAfter } from './plan.ts';
import { operationProblems } from './problems.ts';
import type { OperationRecord, StepRecord } from './records.ts';

export interface RunLimits {
  pause: { firstMs: number; mostMs: number };
  /** How long a step may take to end after its signal aborted. */
  graceMs: number;
  /** An undo is tried this often while its problem is retryable, … */
  undoAttempts: number;
  /** … this often when it is not, … */
  undoAttemptsForGood: number;
  /** … and a step may be cut off by the end of its controller this often. */
  interruptions: number;
}

interface Settling {
  readonly record: OperationRecord;
  readonly clock: Clock;
  readonly limits: RunLimits;
  random(): number;
}

/** A step that did not stop when its controller did. */
export class StuckStepError extends Error {
  constructor(step: string) {
    super(`the step ${step} goes on although its signal aborted`);
  }
}

/** Takes in how a `do` went; returns the pause in milliseconds when the operation waits. */
export function settleDo(run: Settling, step: Step, stored: StepRecord, outcome: Outcome<Json>): number | undefined {
  const { record } = run;
  if (outcome.kind === 'stopped' && outcome.cause === 'abandoned') return letGo(stored, outcome.stuck);
  stored.open = false;
  if (outcome.kind === 'ended') {
    Object.assign(stored, { state: 'done', output: outcome.value, problem: null } satisfies Partial<StepRecord>);
    record.waiting = null;
    return undefined;
  }
  if (outcome.kind === 'stopped' && outcome.cause === 'cancelled') {
    setFailed(record, stored, operationProblems.make('cancelled', { by: record.cancelledBy ?? '' }).document);
    return undefined;
  }
  const problem = outcome.error === undefined ? undefined : toProblem(outcome.error);
  if (outcome.kind === 'failed' && problem?.retryable === true) {
    const pauseMs = pauseAfter(stored.attempts, run.limits.pause, run.random);
    if (stored.spentMs + pauseMs < step.timeoutMs) {
      stored.spentMs += pauseMs;
      return wait(run, stored, problem, pauseMs);
    }
  }
  const isTimeout = outcome.kind === 'stopped' || problem?.retryable === true;
  // What it waited for says more than that it waited too long.
  const last = (outcome.kind === 'failed' ? problem?.document : stored.problem)?.detail ?? null;
  const seconds = Math.round(step.timeoutMs / 1000);
  const failure = isTimeout ? operationProblems.make('step-timed-out', { step: step.name, seconds, last }) : problem;
  setFailed(record, stored, toProblem(failure).document);
  return undefined;
}

/** Takes in how an undo went; returns the pause in milliseconds when the operation waits. */
export function settleUndo(run: Settling, step: Step, stored: StepRecord, outcome: Outcome<void>): number | undefined {
  const { record, limits } = run;
  if (outcome.kind === 'stopped' && outcome.cause === 'abandoned') return letGo(stored, outcome.stuck);
  stored.open = false;
  if (outcome.kind === 'ended') {
    stored.state = 'undone';
    record.waiting = null;
    return undefined;
  }
  const seconds = Math.round(step.timeoutMs / 1000);
  const problem =
    outcome.kind === 'failed'
      ? toProblem(outcome.error)
      : operationProblems.make('step-timed-out', { step: `undo of ${step.name}`, seconds, last: null });
  const most = problem.retryable ? limits.undoAttempts : limits.undoAttemptsForGood;
  if (stored.undoAttempts < most) {
    return wait(run, stored, problem, pauseAfter(stored.undoAttempts, limits.pause, run.random));
  }
  setFatal(record, stored, problem);
  return undefined;
}

/** The controller goes: the next one begins the step anew. */
function letGo(stored: StepRecord, stuck: boolean): number {
  // Nobody else may begin it while it goes on here: the lease stays until it runs out, and the attempt stays open.
  if (stuck) throw new StuckStepError(stored.name);
  stored.open = false;
  return 0;
}

function wait({ record, clock }: Settling, stored: StepRecord, problem: Problem, pauseMs: number): number {
  const same = record.waiting?.step === stored.name && record.waiting.problem.code === problem.code;
  const since = same && record.waiting !== null ? record.waiting.since : new Date(clock.nowMs()).toISOString();
  stored.problem = problem.document;
  record.waiting = { step: stored.name, problem: problem.document, since };
  return pauseMs;
}

export function setFailed(record: OperationRecord, stored: StepRecord, problem: ProblemDocument): void {
  stored.state = 'failed';
  stored.problem = problem;
  turnRound(record, problem);
}

export function turnRound(record: OperationRecord, problem: ProblemDocument): void {
  record.state = 'recovering';
  record.problem = problem;
  record.waiting = null;
}

export function setFatal(record: OperationRecord, stored: StepRecord, problem: Problem): void {
  const { detail, todo } = problem.document;
  const about = { step: stored.name, attempts: stored.undoAttempts, why: detail, innerTodo: todo };
  stored.problem = problem.document;
  record.problem = operationProblems.make('undo-failed', about).document;
  record.waiting = null;
  record.state = 'fatal';
}
