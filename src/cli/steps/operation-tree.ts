// An operation's documents as a step tree, and as the report of a failure. Apart and pure: what a person sees of an
// operation is decided here.
import { hasEnded, type OperationDocument, type OperationSummary, type StepDocument } from '../documents.ts';
import type { Terminal } from '../terminal.ts';
import { durationMsOf, renderDuration, type StepNode, type StepState } from './step-tree.ts';

/** An operation with everything below it that is known. */
export interface OperationFamily {
  operation: OperationDocument;
  children: OperationFamily[];
}

const OPERATION_STATES: Record<OperationSummary['state'], StepState> = {
  pending: 'pending',
  running: 'running',
  succeeded: 'done',
  recovering: 'undoing',
  recovered: 'undone',
  cancelled: 'undone',
  failed: 'failed',
  fatal: 'failed',
};

const toMs = (iso: string | null): number | undefined => (iso === null ? undefined : Date.parse(iso));

function toTimes(thing: { startedAt: string | null; endedAt: string | null }): {
  startedMs?: number;
  endedMs?: number;
} {
  const [startedMs, endedMs] = [toMs(thing.startedAt), toMs(thing.endedAt)];
  return { ...(startedMs === undefined ? {} : { startedMs }), ...(endedMs === undefined ? {} : { endedMs }) };
}

/** The operation as a node: its steps below it, and the operations that each step started below that step. */
export function toStepTree({ operation, children }: OperationFamily): StepNode {
  const waits = operation.waiting !== null && !hasEnded(operation);
  const state = waits && operation.state === 'running' ? 'waiting' : OPERATION_STATES[operation.state];
  const homeless = new Set(children);
  const steps = operation.steps.map((step): StepNode => {
    const mine = children.filter((child) => homeless.has(child) && startedDuring(child.operation, step));
    for (const child of mine) homeless.delete(child);
    const waiting = operation.waiting?.step === step.name && waits ? operation.waiting.problem.detail : undefined;
    const note = waiting ?? (step.state === 'running' || step.state === 'failed' ? noteOf(step) : undefined);
    return {
      id: `${operation.id}/${step.name}`,
      name: step.name,
      state: waiting !== undefined && step.state === 'running' ? 'waiting' : step.state,
      ...toTimes(step),
      ...(note === undefined ? {} : { note }),
      children: mine.map(toStepTree),
    };
  });
  return {
    id: operation.id,
    name: operation.title,
    state,
    ...toTimes(operation),
    children: [...steps, ...[...homeless].map(toStepTree)],
  };
}

const noteOf = (step: StepDocument): string | undefined => step.problem?.detail ?? step.lines.at(-1);

function startedDuring(child: OperationSummary, step: StepDocument): boolean {
  const [bornMs, startedMs, endedMs] = [toMs(child.createdAt), toMs(step.startedAt), toMs(step.endedAt)];
  return bornMs !== undefined && startedMs !== undefined && bornMs >= startedMs && bornMs <= (endedMs ?? Infinity);
}

const OUTCOMES: Partial<Record<OperationSummary['state'], string>> = {
  recovered: 'failed; what it had done is undone',
  failed: 'failed; there was nothing to undo',
  cancelled: 'was cancelled; what it had done is undone',
  fatal: 'failed, and undoing failed too; it keeps its locks until a person acts',
};

/**
 * Why it did not succeed: the operations below first, each with its failed steps and the last lines they said, then what
 * to do. A problem that was handed upwards is told once, where it arose.
 */
export function renderFailure(
  terminal: Terminal,
  family: OperationFamily,
  nowMs: number,
  told = new Set<string>(),
): string {
  const { operation } = family;
  const below = family.children
    .filter((child) => hasEnded(child.operation) && child.operation.state !== 'succeeded')
    .map((child) => renderFailure(terminal, child, nowMs, told));
  const head = `${terminal.paint('red', '✗')} ${terminal.paint('bold', operation.title)} ${OUTCOMES[operation.state] ?? operation.state}\n`;
  const failed = operation.steps
    .filter(({ problem }) => problem !== null && !told.has(problem.detail))
    .map((step) => {
      const lines = step.lines.map((line) => terminal.paint('dim', `    | ${line}\n`)).join('');
      const problem = step.problem?.detail === operation.problem?.detail ? '' : `    ${step.problem?.detail}\n`;
      return `  Step "${step.name}" failed${afterOf(step, nowMs)}:\n${lines}${problem}`;
    });
  const { problem } = operation;
  const about = (code: string) => terminal.paint('dim', `(${code}operation ${operation.id})`);
  const end =
    problem === null || told.has(problem.detail)
      ? `  ${about('')}\n`
      : `  ${problem.detail}\n  ${problem.todo}\n  ${about(`${problem.code}, `)}\n`;
  if (problem !== null) told.add(problem.detail);
  return `${below.join('')}${head}${failed.join('')}${end}`;
}

function afterOf(step: StepDocument, nowMs: number): string {
  const durationMs = durationMsOf(toTimes(step), nowMs);
  return durationMs === undefined ? '' : ` after ${renderDuration(durationMs)}`;
}
