// The events of operations: what a terminal or a page shows while one runs. Subject `operation:ID`; kinds
// operation.started, .changed (state), .step (step, state), .waiting (step, problem), .said (step, lines), .ended.
import type { Events } from '../events.ts';
import type { Json, Sql } from '../store.ts';
import { endStates, type Operation } from './operation.ts';
import type { OperationRecord } from './records.ts';

const BY = 'controller';

export interface Snapshot {
  state: string;
  waiting: string | null;
  steps: string[];
}

/** What is compared between two saves. */
export function takeSnapshot({ state, waiting, steps }: OperationRecord): Snapshot {
  const reason = waiting === null ? null : `${waiting.step}: ${waiting.problem.detail}`;
  return { state, waiting: reason, steps: steps.map((step) => step.state) };
}

export function subjectOf(operationId: string): string {
  return `operation:${operationId}`;
}

export async function appendStarted(
  sql: Sql,
  events: Events,
  { id, kind, title, locks, by, reason }: Operation,
): Promise<void> {
  const why = reason === null ? {} : { reason };
  await events.append(sql, {
    kind: 'operation.started',
    subject: subjectOf(id),
    by,
    ...why,
    data: { kind, title, locks },
  });
}

export async function appendSaid(
  sql: Sql,
  events: Events,
  id: string,
  data: { step: string; lines: string[] },
): Promise<void> {
  await events.append(sql, { kind: 'operation.said', subject: subjectOf(id), by: BY, data });
}

/** One event for each thing that differs from `before`. */
export async function appendChanges(
  sql: Sql,
  events: Events,
  before: Snapshot,
  record: OperationRecord,
): Promise<void> {
  const now = takeSnapshot(record);
  const append = (kind: string, data: Json) =>
    events.append(sql, { kind, subject: subjectOf(record.id), by: BY, data });
  for (const [at, step] of record.steps.entries()) {
    if (before.steps[at] === step.state) continue;
    const problem = step.state === 'failed' ? { problem: step.problem as unknown as Json } : {};
    await append('operation.step', { step: step.name, state: step.state, ...problem });
  }
  if (record.waiting !== null && before.waiting !== now.waiting) {
    await append('operation.waiting', {
      step: record.waiting.step,
      problem: record.waiting.problem as unknown as Json,
    });
  }
  if (before.state === now.state) return;
  const ended = endStates.includes(record.state);
  const { kind, title, state, problem } = record;
  await append(ended ? 'operation.ended' : 'operation.changed', {
    kind,
    title,
    state,
    problem: problem as unknown as Json,
  });
}
