// What an operation does next: the state machine, as one pure function of what is stored. Apart from the code that acts
// (run-operation.ts), so that it can be read and tested on its own.
//
// Forwards (pending, running): the first step that is not done is done; when none is left the operation has succeeded.
// A step that fails for good, or a cancellation, turns it round. Backwards (recovering): the last step that was begun
// and is not undone is undone, if it has an undo; when none is left the operation is cancelled, recovered (something
// was undone) or failed (there was nothing to undo). An undo that fails for good makes it fatal, and there it stays.
import type { OperationState } from './operation.ts';
import type { StepRecord } from './records.ts';

export type NextAct =
  | { act: 'do' | 'undo'; position: number }
  /** Turn round because it was cancelled. */
  | { act: 'turn' }
  | { act: 'end'; state: OperationState };

export interface PlanInput {
  state: OperationState;
  cancelled: boolean;
  steps: readonly Pick<StepRecord, 'state'>[];
}

/** `hasUndo` tells by position whether the step leaves something behind. */
export function planNext({ state, cancelled, steps }: PlanInput, hasUndo: (position: number) => boolean): NextAct {
  if (state !== 'recovering') {
    const position = steps.findIndex((step) => step.state !== 'done');
    if (position === -1) return { act: 'end', state: 'succeeded' };
    return cancelled ? { act: 'turn' } : { act: 'do', position };
  }
  const position = steps.findLastIndex(
    (step, at) => step.state !== 'pending' && step.state !== 'undone' && hasUndo(at),
  );
  if (position !== -1) return { act: 'undo', position };
  if (cancelled) return { act: 'end', state: 'cancelled' };
  return { act: 'end', state: steps.some((step) => step.state === 'undone') ? 'recovered' : 'failed' };
}

/** The pause before the next attempt: doubling from `firstMs` to `mostMs`, scattered by a quarter so that waiters part. */
export function pauseAfter(attempts: number, pause: { firstMs: number; mostMs: number }, random: () => number): number {
  const fullMs = Math.min(pause.mostMs, pause.firstMs * 2 ** Math.min(attempts - 1, 20));
  return Math.ceil(fullMs * (0.75 + random() / 2));
}
