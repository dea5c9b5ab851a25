// Stands for the inside of a server's containers: what runs there, and the dead man's switch that the node's systemd is in earnest
// (docs/decisions/0022): it kills all runs at the deadline unless the agent has set another. A process of its own, so that it goes
// on when the agent is stopped, and dies with the server. Lines in: `{start}`, `{kill}`, `{hold}`; lines out: `{ended}`.
import { appendFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

export type NodeOrder =
  | { start: { id: number; key: number; workMs: number } }
  | { kill: number }
  /** Milliseconds from now until which runs may live. */
  | { hold: number };
export interface NodeReport {
  ended: number;
  killed: boolean;
}

const SLICE_MS = 100;

/** `diary`: where each run's beginning and end are written down; none: nowhere. */
export function makeNode(diary: string | undefined, report: (line: NodeReport) => void): (order: NodeOrder) => void {
  const live = new Map<number, () => void>();
  let deadline: NodeJS.Timeout | undefined;
  const note = (what: 'begin' | 'end', key: number): void => {
    if (diary !== undefined) appendFileSync(diary, `${JSON.stringify([what, key, String(process.pid), Date.now()])}\n`);
  };

  function start(id: number, key: number, workMs: number): void {
    let timer: NodeJS.Timeout | undefined;
    let leftMs = workMs;
    const end = (killed: boolean): void => {
      clearTimeout(timer);
      live.delete(id);
      if (!killed) note('end', key);
      report({ ended: id, killed });
    };
    const go = (): void => {
      if (leftMs <= 0) {
        end(false);
        return;
      }
      const sliceMs = Math.min(SLICE_MS, leftMs);
      leftMs -= sliceMs;
      timer = setTimeout(go, sliceMs);
    };
    live.set(id, () => end(true));
    note('begin', key);
    go();
  }

  return (order) => {
    if ('start' in order) start(order.start.id, order.start.key, order.start.workMs);
    else if ('kill' in order) live.get(order.kill)?.();
    else {
      clearTimeout(deadline);
      deadline = setTimeout(() => {
        for (const kill of [...live.values()]) kill();
      }, order.hold);
    }
  };
}

if (import.meta.main) {
  const node = makeNode(process.argv[2], (line) => process.stdout.write(`${JSON.stringify(line)}\n`));
  createInterface({ input: process.stdin })
    .on('line', (line) => node(JSON.parse(line) as NodeOrder))
    .on('close', () => process.exit(0));
}
