// Servers in the controller's own process whose runs end as they begin: what is left is the sequencer's own work. They keep to the
// protocol, heartbeats and reports included.
import type { AgentPort } from '../../src/protocol/agent-port.ts';
import type { AgentContract, RunOrder, RunResult } from '../../src/protocol/contract.ts';
import type { ParamsOf } from '../../src/protocol/peer.ts';
import type { Sequencer } from '../../src/sequencer/sequencer.ts';
import { atRest } from './ours.ts';

const BEAT_MS = 1_000;

export interface NoOpServers {
  readonly agents: AgentPort;
  /** Begins the heartbeats; resolves after the first of each. */
  join(sequencer: Sequencer): Promise<void>;
  leave(): void;
}

/** `onStart` sees each run as it begins. */
export function makeNoOpServers(
  names: readonly string[],
  slots: number,
  onStart: (order: RunOrder) => void,
): NoOpServers {
  const held = new Map(names.map((name) => [name, new Map<number, number>()]));
  let sequencer: Sequencer | undefined;
  let timer: NodeJS.Timeout | undefined;
  let beats = 0;

  async function beat(): Promise<void> {
    await Promise.all(
      [...held].map(async ([name, runs]) => {
        beats += 1;
        await sequencer?.heartbeat(name, {
          ...{ load: { ...atRest, clockMs: Date.now() }, nodes: [], beat: `${name}-${beats}` },
          slots: { free: slots - runs.size, total: slots },
          runs: [...runs].map(([id, epoch]) => ({ id, epoch })),
        });
      }),
    );
  }

  return {
    agents: {
      connected: () => [...names],
      async call(server, method, params) {
        if (method !== 'runs.start') return null as never;
        const { runs } = params as ParamsOf<AgentContract, 'runs.start'>;
        const own = held.get(server);
        const startedAt = new Date().toISOString();
        const result: RunResult = {
          ...{ cause: 'exit', code: 0, signal: null, cpuS: 0.001, peakMemoryBytes: 1_000_000 },
          ...{ startedAt, endedAt: startedAt, tail: '' },
        };
        for (const run of runs) {
          own?.set(run.id, run.epoch);
          onStart(run);
        }
        setImmediate(() => {
          const ended = runs.map(({ id, epoch }) => ({ id, epoch, result }));
          void sequencer?.report(server, { ended }).then(({ accepted }) => {
            for (const id of accepted) own?.delete(id);
          });
        });
        return { started: runs.map(({ id }) => id), refused: [] } as never;
      },
    },
    async join(joined) {
      sequencer = joined;
      await beat();
      timer = setInterval(() => void beat(), BEAT_MS);
    },
    leave: () => clearInterval(timer),
  };
}
