// The picture of work in progress: steps with states, durations and steps below them. Host preparation and
// operations are both shown from it. Apart from the displays, so that live, plain and JSON lines agree.

/**
 * A step's life: pending → running ⇄ waiting (an engine is away, `note` says why) → done, failed, or skipped;
 * after a failure undoing → undone.
 */
export type StepState = 'pending' | 'running' | 'waiting' | 'done' | 'failed' | 'undoing' | 'undone' | 'skipped';

export interface StepNode {
  /** Unique in the tree and stable between updates. */
  id: string;
  name: string;
  state: StepState;
  /** Wall times, Unix epoch milliseconds. */
  startedMs?: number;
  endedMs?: number;
  /** What is to be known of it now: why it waits, what it found. */
  note?: string;
  children: StepNode[];
}

/** Shows a tree each time it changes. */
export interface StepDisplay {
  update(roots: readonly StepNode[]): void;
  /** Ends the display; what it showed last stays. */
  close(): void;
}

/** A node's place in its tree. */
export interface PlacedNode {
  node: StepNode;
  depth: number;
  parent: StepNode | undefined;
}

/** All nodes, depth first. */
export function listNodes(roots: readonly StepNode[], depth = 0, parent?: StepNode): PlacedNode[] {
  return roots.flatMap((node) => [{ node, depth, parent }, ...listNodes(node.children, depth + 1, node)]);
}

/** `0.4 s`, `12.3 s`, `2 min 05 s`. */
export function renderDuration(durationMs: number): string {
  if (durationMs < 59_950) return `${(durationMs / 1000).toFixed(1)} s`;
  const seconds = Math.round(durationMs / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
}

/** How long the step took, or has been at it until now; undefined before it began. */
export function durationMsOf(node: Pick<StepNode, 'startedMs' | 'endedMs'>, nowMs: number): number | undefined {
  return node.startedMs === undefined ? undefined : Math.max(0, (node.endedMs ?? nowMs) - node.startedMs);
}
