// What an operation is: a durable saga of named steps. Only types and makeOperation, so that rooms can declare
// operations without the driver that runs them (driver.ts).
import type { z } from 'zod';
import type { ProblemDocument } from '../../lib/errors.ts';
import type { Json, Sql } from '../store.ts';

/** What a step is given. */
export interface StepContext {
  readonly operationId: string;
  /** What the steps before this one returned, by step name. In an undo: also this step's own, when its `do` ended. */
  readonly outputs: Readonly<Record<string, Json>>;
  /** Aborts at the step's time limit, when the operation is cancelled and when the controller stops. */
  readonly signal: AbortSignal;
  /** Reports progress: one line, without secrets. The last lines are kept with the step and sent as events. */
  say(line: string): void;
}

/**
 * One step. `do` is idempotent: after a crash it runs again, although it may have ended. What it returns is stored and
 * shown, so it holds no secret. A retryable problem makes the operation wait and try again within `timeoutMs` (which
 * counts the attempts and the waits between them, not the time in which no controller ran); any other error unwinds.
 */
export interface Step {
  readonly name: string;
  readonly timeoutMs: number;
  // biome-ignore lint/suspicious/noConfusingVoidType: a step that has nothing to hand on returns nothing
  do(ctx: StepContext): Promise<Json | void>;
  /** Removes what `do` left behind, also when `do` failed half way or its end was never seen. Idempotent. */
  undo?(ctx: StepContext): Promise<void>;
}

/** A kind of operation, `noun.verb` (`site.create`). */
export interface OperationKind<P> {
  readonly kind: string;
  /** Checked when the operation starts and again when it resumes. The params are stored and shown: no secrets. */
  readonly params: z.ZodType<P>;
  /** Names of what nobody else may touch meanwhile (`site:s1a2b3c4d5`); at least what the operation is about. */
  locks(params: P): string[];
  /** It begins at once however many others run: they may all wait for what it is about. */
  readonly urgent?: true;
  /** A short sentence for people: `Create the site acme`. */
  title(params: P): string;
  /** The steps in order, with names of their own. A pure function of the params, since a resumed operation calls it again. */
  steps(params: P): Step[];
}

/** Declares a kind of operation; infers the params from their schema. */
export function makeOperation<P>(kind: OperationKind<P>): OperationKind<P> {
  return kind;
}

/**
 * pending: not begun. running: its steps are being done. succeeded: all done. recovering: a step failed or someone
 * cancelled, and what was done is being undone. recovered: failed, and all is undone. failed: failed, and there was
 * nothing to undo (or a person has cleaned up and released it). cancelled: cancelled, and all is undone. fatal: an undo failed too; a person must act, and the
 * operation keeps its locks until it is resumed or released.
 */
export type OperationState =
  | 'pending'
  | 'running'
  | 'succeeded'
  | 'recovering'
  | 'recovered'
  | 'failed'
  | 'cancelled'
  | 'fatal';

export const endStates: readonly OperationState[] = ['succeeded', 'recovered', 'failed', 'cancelled', 'fatal'];

/** pending, running, done; failed: its `do` failed; undoing, undone. A done step without an undo stays done. */
export type StepState = 'pending' | 'running' | 'done' | 'failed' | 'undoing' | 'undone';

export interface StepView {
  name: string;
  state: StepState;
  /** How often `do` was begun. */
  attempts: number;
  undoAttempts: number;
  output: Json;
  /** The last lines it said. */
  lines: string[];
  problem: ProblemDocument | null;
  startedAt: string | null;
  endedAt: string | null;
  durationMs: number | null;
}

/** An operation without its steps. */
export interface Operation {
  id: string;
  kind: string;
  title: string;
  state: OperationState;
  params: Json;
  locks: string[];
  by: string;
  reason: string | null;
  /** Why nothing happens at the moment, while a retryable problem lasts. */
  waiting: { step: string; problem: ProblemDocument; since: string } | null;
  /** Why it did not succeed. */
  problem: ProblemDocument | null;
  cancelledBy: string | null;
  createdAt: string;
  startedAt: string | null;
  endedAt: string | null;
  durationMs: number | null;
}

export interface OperationView extends Operation {
  steps: StepView[];
}

export interface OperationFilter {
  states?: readonly OperationState[];
  kind?: string;
  /** Operations that take or took this lock. */
  lock?: string;
  /** At most this many, 50 unless told, 500 at most. */
  limit?: number;
  /** From an earlier answer's `nextPageToken`. */
  pageToken?: string;
}

/** Who asks for it, and why. */
export interface Asker {
  by: string;
  reason?: string;
}

/** All operations of the controller. */
export interface Operations {
  /** Before the driver starts. */
  register<P>(kind: OperationKind<P>): void;
  /**
   * Stores a new operation in the caller's transaction; it begins after the commit. `params` must satisfy the kind's
   * schema (else `common.invalid-input`). A lock that another operation holds: `operations.locked` (409), naming it.
   */
  start(sql: Sql, kind: string, params: unknown, who: Asker): Promise<Operation>;
  /** Looks for work now instead of at the next poll. */
  wake(): void;
  /** Throws `common.not-found`. */
  read(id: string): Promise<OperationView>;
  /** Newest first. */
  list(filter?: OperationFilter): Promise<{ items: Operation[]; nextPageToken: string | null }>;
  /** Resolves when the operation has ended, in whichever way; rejects with the signal's reason. */
  wait(id: string, signal: AbortSignal): Promise<OperationView>;
  /** Asks it to stop and undo. Nothing happens when it is recovering already; `operations.ended` (409) when it has ended. */
  cancel(id: string, by: string): Promise<void>;
  /** Tries the undo of a fatal operation again, after a person has removed the cause. */
  resume(id: string, by: string): Promise<void>;
  /** Drops the locks of a fatal operation, after a person has cleaned up; it counts as failed from then on. */
  release(id: string, by: string): Promise<void>;
}
