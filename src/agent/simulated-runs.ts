// The runs of a simulated server: they take a moment, succeed, and say what they would have run. Apart from the rest of the
// agent's twin, which holds what lasts.
import type { Clock } from '../lib/clock.ts';
import type { AgentContract, ControllerContract, RunOrder } from '../protocol/contract.ts';
import type { Answers, ParamsOf } from '../protocol/peer.ts';

type RunAnswers = Pick<Answers<AgentContract>, 'runs.start' | 'runs.cancel' | 'runs.follow'>;
type Heartbeat = ParamsOf<ControllerContract, 'heartbeat'>;
type Report = ParamsOf<ControllerContract, 'runs.report'>;

export interface SimulatedRuns extends RunAnswers {
  /** The heartbeat's part about runs. */
  state(): Pick<Heartbeat, 'slots' | 'runs'>;
  /** What has ended and is not yet accepted. */
  ended(): Report['ended'];
  accepted(ids: readonly number[]): void;
}

const RUN_MS = 400;
const SLOTS = 8;

export function makeSimulatedRuns(clock: Clock): SimulatedRuns {
  const runs = new Map<number, { order: RunOrder; beganMs: number; startedAt: string; killed: boolean }>();
  const hasEnded = ({ beganMs, killed }: { beganMs: number; killed: boolean }): boolean =>
    killed || clock.monotonicMs() - beganMs >= RUN_MS;
  const outputOf = (order: RunOrder): string => `simulated: ${order.argv.join(' ')}\n`;
  return {
    'runs.start': async ({ runs: orders }) => {
      const startedAt = new Date(clock.nowMs()).toISOString();
      for (const order of orders) {
        if (!runs.has(order.id)) runs.set(order.id, { order, beganMs: clock.monotonicMs(), startedAt, killed: false });
      }
      return { started: orders.map(({ id }) => id), refused: [] };
    },
    'runs.cancel': async ({ ids }) => {
      for (const id of ids) {
        const run = runs.get(id);
        if (run !== undefined && !hasEnded(run)) run.killed = true;
      }
      return null;
    },
    'runs.follow': async ({ id, offset }) => {
      const run = runs.get(id);
      const text = run === undefined ? '' : outputOf(run.order).slice(offset);
      return { text, offset: offset + text.length, ended: run === undefined || hasEnded(run) };
    },
    state() {
      const live = [...runs.values()].filter((run) => !hasEnded(run)).length;
      return {
        slots: { free: Math.max(0, SLOTS - live), total: SLOTS },
        runs: [...runs.values()].map(({ order: { id, epoch } }) => ({ id, epoch })),
      };
    },
    ended: () =>
      [...runs.values()].filter(hasEnded).map(({ order, startedAt, killed }) => ({
        id: order.id,
        epoch: order.epoch,
        result: {
          ...(killed
            ? { cause: 'killed' as const, code: null, signal: 'SIGKILL' }
            : { cause: 'exit' as const, code: 0, signal: null }),
          ...{ cpuS: 0.1, peakMemoryBytes: 16 * 2 ** 20, startedAt, endedAt: new Date(clock.nowMs()).toISOString() },
          tail: outputOf(order),
        },
      })),
    accepted(ids) {
      for (const id of ids) runs.delete(id);
    },
  };
}
