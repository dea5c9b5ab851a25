// The runs that this server has, found by id, by node and by unit. Apart from what happens to them.
//
// A run is `starting` until systemd has taken its unit, `alive` until its main process has ended, `ended` once its result
// is in the journal, `freed` once its unit is gone and with it every process that it left behind. Then it is reported, and
// forgotten when the controller has taken note. One that was `alive` when the agent was killed is adopted: its unit went
// on, or waits with its result.
import type { RunOrder, RunResult } from '../../protocol/contract.ts';
import type { JournalEntry } from './journal.ts';
import type { KillReason } from './run-result.ts';
import { toRunUnit } from './run-unit.ts';

export interface Run {
  readonly order: RunOrder;
  readonly unit: string;
  /** By the machine's monotonic clock, milliseconds. */
  readonly beganMs: number;
  state: 'starting' | 'alive' | 'ended' | 'freed';
  /** When it is killed. Undefined for an adopted one until its lease is renewed: the node's switch has its last one. */
  deadlineMs: number | undefined;
  killed: { reason: KillReason; atMs: number } | undefined;
  result: RunResult | undefined;
  /** What is being done about its end, so that it is done once. */
  ending: Promise<void> | undefined;
  /** The answer to its order, for when the same order comes again: why it was refused, or undefined. */
  started: Promise<string | undefined>;
}

export interface RunTable {
  get(id: number): Run | undefined;
  all(): Run[];
  of(node: string): Run[];
  byUnit(node: string, unit: string): Run | undefined;
  /** Takes up a run of the journal, or (without result) one that is just begun. */
  add(entry: JournalEntry): Run;
  remove(run: Run): void;
  /** How many have processes, or may have. */
  heldCount(): number;
}

export function makeRunTable(): RunTable {
  const runs = new Map<number, Run>();
  const units = new Map<string, Run>();
  const keyOf = (node: string, unit: string) => `${node}/${unit}`;
  return {
    get: (id) => runs.get(id),
    all: () => [...runs.values()],
    of: (node) => [...runs.values()].filter(({ order }) => order.node === node),
    byUnit: (node, unit) => units.get(keyOf(node, unit)),
    add({ order, beganMs, result }) {
      const run: Run = {
        ...{
          order,
          beganMs,
          result,
          unit: toRunUnit(order.overlapKey),
          state: result === undefined ? 'alive' : 'ended',
        },
        ...{ deadlineMs: undefined, killed: undefined, ending: undefined, started: Promise.resolve(undefined) },
      };
      runs.set(order.id, run);
      units.set(keyOf(order.node, run.unit), run);
      return run;
    },
    remove(run) {
      if (runs.get(run.order.id) === run) runs.delete(run.order.id);
      const key = keyOf(run.order.node, run.unit);
      if (units.get(key) === run) units.delete(key);
    },
    heldCount: () => [...runs.values()].filter(({ state }) => state !== 'freed').length,
  };
}
