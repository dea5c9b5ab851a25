// Runs the steps of the host's preparation one after another and shows them as operations are shown. Apart from the
// API's operations because at this point there is no controller yet; each step is idempotent, so going on is running again.
import type { Clock } from '../../lib/clock.ts';
import type { StepDisplay, StepNode } from '../steps/step-tree.ts';

/** One step. What `run` returns is shown beside it; what it `say`s is shown while it runs and when it fails. */
export interface HostStep {
  name: string;
  run(say: (line: string) => void, signal: AbortSignal): Promise<string | undefined>;
}

/** The last lines that a failed step said; more would hide the cause. */
const KEPT_LINES = 40;

/** Thrown with what the failed step had said. */
export class StepFailed extends Error {
  readonly step: string;
  readonly lines: readonly string[];
  constructor(step: string, lines: readonly string[], cause: unknown) {
    super(`The step "${step}" failed`, { cause });
    this.step = step;
    this.lines = lines;
  }
}

/** Runs all steps in order; throws `StepFailed` (with the cause) at the first that fails. */
export async function runSteps(
  steps: readonly HostStep[],
  parts: { display: StepDisplay; clock: Clock; signal: AbortSignal },
): Promise<void> {
  const { display, clock, signal } = parts;
  const nodes: StepNode[] = steps.map(({ name }) => ({ id: `host/${name}`, name, state: 'pending', children: [] }));
  const change = (at: number, changes: Partial<StepNode>) => {
    const node = nodes[at];
    if (node !== undefined) nodes[at] = { ...node, ...changes };
    display.update(nodes);
  };
  for (const [at, step] of steps.entries()) {
    const lines: string[] = [];
    change(at, { state: 'running', startedMs: clock.nowMs() });
    const say = (line: string) => {
      lines.push(line);
      if (lines.length > KEPT_LINES) lines.shift();
      if (line.trim() !== '') change(at, { note: line.trim() });
    };
    try {
      signal.throwIfAborted();
      const note = await step.run(say, signal);
      const { note: _said, ...node } = nodes[at] ?? { id: step.name, name: step.name, state: 'done', children: [] };
      nodes[at] = { ...node, state: 'done', endedMs: clock.nowMs(), ...(note === undefined ? {} : { note }) };
      display.update(nodes);
    } catch (thrown) {
      change(at, { state: 'failed', endedMs: clock.nowMs() });
      signal.throwIfAborted();
      throw new StepFailed(step.name, lines, thrown);
    }
  }
}
