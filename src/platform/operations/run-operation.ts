// Carries one operation on under a lease until it ends, pauses or is taken away. Progress is stored before each attempt
// (with the outcome of the one before) and at the end, so that a killed controller's successor knows where it was.
import type { Clock } from '../../lib/clock.ts';
import { runAttempt } from './attempt.ts';
import type { Step, StepContext } from './operation.ts';
import { planNext } from './plan.ts';
import { operationProblems } from './problems.ts';
import { makeProgress } from './progress.ts';
import type { Disposal, OperationRecord, StepRecord } from './records.ts';
import { type RunLimits, setFailed, setFatal, settleDo, settleUndo, turnRound } from './settle.ts';

/** Where a fault can be injected; `before-*`: stored as begun, nothing done; `after-*`: done, not stored. */
export interface FaultPoint {
  operation: string;
  kind: string;
  step: string;
  when: 'before-do' | 'after-do' | 'before-undo' | 'after-undo';
}

/** One operation in the hands of this controller. */
export interface Run {
  readonly record: OperationRecord;
  /** Built from the stored params; as many as the record has. */
  readonly steps: readonly Step[];
  readonly clock: Clock;
  readonly limits: RunLimits;
  readonly cancel: AbortSignal;
  /** The controller stops or has lost the lease. */
  readonly abandon: AbortSignal;
  fault(point: FaultPoint): Promise<void>;
  random(): number;
  /** Throws when the lease is lost. Updates `record.cancelledBy`. */
  save(
    changed: readonly StepRecord[],
    said: { step: string; lines: string[] } | undefined,
    disposal: Disposal,
  ): Promise<void>;
  /** Sends lines on between two saves; never throws. */
  send(step: string, lines: string[]): void;
}

/** Returns when the operation has ended or is free for others again. Throws when the lease is lost or a step is stuck. */
export async function runOperation(run: Run): Promise<void> {
  const { record, steps } = run;
  const changed = new Set<StepRecord>();
  let said: { step: string; lines: string[] } | undefined;
  const save = async (disposal: Disposal) => {
    await run.save([...changed], said, disposal);
    changed.clear();
    said = undefined;
  };

  for (const step of record.steps.filter(({ open }) => open)) {
    step.open = false;
    step.interruptions += 1;
    changed.add(step);
    if (step.interruptions <= run.limits.interruptions) continue;
    const problem = operationProblems.make('interrupted', { step: step.name, times: step.interruptions });
    if (record.state === 'recovering') setFatal(record, step, problem);
    else setFailed(record, step, problem.document);
  }

  while (record.state !== 'fatal') {
    if (run.abandon.aborted) return await save({ pauseMs: 0 });
    const next = planNext({ ...record, cancelled: record.cancelledBy !== null }, (at) => steps[at]?.undo !== undefined);
    if (next.act === 'end') {
      record.state = next.state;
      record.waiting = null;
      break;
    }
    if (next.act === 'turn') {
      const { document } = operationProblems.make('cancelled', { by: record.cancelledBy ?? '' });
      const waiting = record.steps.find(({ state }) => state === 'running');
      if (waiting === undefined) turnRound(record, document);
      else setFailed(record, waiting, document);
      if (waiting !== undefined) changed.add(waiting);
      continue;
    }
    const step = steps[next.position];
    const stored = record.steps[next.position];
    if (step === undefined || stored === undefined)
      throw new Error(`operation ${record.id} has no step ${next.position}`);
    begin(record, stored, next.act);
    changed.add(stored);
    await save('keep');
    if (next.act === 'do' && record.cancelledBy !== null) {
      // The save brought the news that it was cancelled. What was never attempted has left nothing behind.
      stored.open = false;
      if (stored.attempts === 1) Object.assign(stored, { state: 'pending', attempts: 0 } satisfies Partial<StepRecord>);
      continue;
    }
    const began = run.clock.monotonicMs();
    const progress = makeProgress(run.clock, stored.lines, (lines) => run.send(step.name, lines));
    const settle =
      next.act === 'do'
        ? await attemptDo(run, step, stored, progress.say)
        : await attemptUndo(run, step, stored, progress.say);
    const { unsent, tail } = progress.end();
    if (unsent.length > 0) said = { step: step.name, lines: unsent };
    stored.lines = tail;
    stored.spentMs += Math.round(run.clock.monotonicMs() - began);
    changed.add(stored);
    const pauseMs = settle();
    if (pauseMs !== undefined) return await save({ pauseMs });
  }
  await save('keep');
}

function begin(record: OperationRecord, stored: StepRecord, act: 'do' | 'undo'): void {
  if (act === 'do') {
    record.state = 'running';
    stored.state = 'running';
    stored.attempts += 1;
  } else {
    if (stored.state !== 'undoing') stored.spentMs = 0;
    stored.state = 'undoing';
    stored.undoAttempts += 1;
  }
  stored.open = true;
}

type Say = (line: string) => void;
/** Takes in the outcome; returns the pause in milliseconds when the operation waits. */
type Settle = () => number | undefined;

async function attemptDo(run: Run, step: Step, stored: StepRecord, say: Say): Promise<Settle> {
  const outcome = await runAttempt(
    async (signal) => {
      await run.fault(faultPoint(run, stored, 'before-do'));
      const output = (await step.do({ ...contextOf(run), signal, say })) ?? null;
      await run.fault(faultPoint(run, stored, 'after-do'));
      return output;
    },
    { ...boundsOf(run), timeoutMs: Math.max(0, step.timeoutMs - stored.spentMs), cancel: run.cancel },
  );
  return () => settleDo(run, step, stored, outcome);
}

async function attemptUndo(run: Run, step: Step, stored: StepRecord, say: Say): Promise<Settle> {
  const outcome = await runAttempt(
    async (signal) => {
      await run.fault(faultPoint(run, stored, 'before-undo'));
      await step.undo?.({ ...contextOf(run), signal, say });
      await run.fault(faultPoint(run, stored, 'after-undo'));
    },
    { ...boundsOf(run), timeoutMs: step.timeoutMs },
  );
  return () => settleUndo(run, step, stored, outcome);
}

function boundsOf({ clock, limits, abandon }: Run) {
  return { clock, graceMs: limits.graceMs, abandon };
}

function contextOf({ record }: Run): Pick<StepContext, 'operationId' | 'outputs'> {
  const ended = record.steps.filter((step) => step.state === 'done' || step.output !== null);
  return { operationId: record.id, outputs: Object.fromEntries(ended.map((step) => [step.name, step.output])) };
}

function faultPoint({ record }: Run, stored: StepRecord, when: FaultPoint['when']): FaultPoint {
  return { operation: record.id, kind: record.kind, step: stored.name, when };
}
