// The API's answers as far as the command line reads them. Apart because the command line imports nothing of the
// controller's: it meets the API as any other client does.
import type { ProblemDocument } from '../lib/errors.ts';

export interface StepDocument {
  name: string;
  state: 'pending' | 'running' | 'done' | 'failed' | 'undoing' | 'undone';
  output: unknown;
  lines: string[];
  problem: ProblemDocument | null;
  startedAt: string | null;
  endedAt: string | null;
}

/** An operation as a list shows it. */
export interface OperationSummary {
  id: string;
  kind: string;
  title: string;
  state: 'pending' | 'running' | 'succeeded' | 'recovering' | 'recovered' | 'failed' | 'cancelled' | 'fatal';
  by: string;
  waiting: { step: string; problem: ProblemDocument } | null;
  problem: ProblemDocument | null;
  createdAt: string;
  startedAt: string | null;
  endedAt: string | null;
}

export interface OperationDocument extends OperationSummary {
  steps: StepDocument[];
  children: OperationSummary[];
}

/** A 202. */
export interface AcceptedDocument {
  operation: { id: string; kind: string; title: string; href: string };
}

export interface EventDocument {
  id: string;
  at: string;
  kind: string;
  subject: string;
  by: string;
  reason: string | null;
  data: unknown;
}

export interface PageDocument<T> {
  items: T[];
  nextPageToken?: string;
}

export interface WhyDocument {
  subject: string;
  now: { operation: string; title: string; state: string; waitingFor: string | null }[];
  reasons: { at: string; kind: string; by: string; reason: string }[];
}

export interface FindingDocument {
  name: string;
  status: 'ok' | 'warn' | 'fail';
  detail: string;
  todo?: string;
}

export interface AboutDocument {
  version: string;
  /** Absent when it was not started by `espalier up`. */
  build?: string;
  deployment: string;
  /** The server of the controller that was asked. */
  controller?: string;
  /** False while it stands by; then `leader` is the server of the one that leads, null where none does. */
  leads?: boolean;
  leader?: string | null;
}

/** True once nothing more happens by itself. */
export function hasEnded(operation: OperationSummary): boolean {
  return !['pending', 'running', 'recovering'].includes(operation.state);
}
