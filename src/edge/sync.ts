// Brings every edge to what the store says. Each agent that carries edges reads the document itself; this only says when.
// Apart from creating edges because pools and sites end with it too.
import type { Clock } from '../lib/clock.ts';
import { Problem } from '../lib/errors.ts';
import type { Store } from '../platform/store.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import { isApart, listStates } from '../servers/store.ts';
import { listEdges } from './store.ts';

/** Gives the nodes that an edge still has connections to. */
export type EdgeSync = (signal: AbortSignal) => Promise<{ leaving: string[] }>;

const SYNC_MS = 20_000;
const LOOK_AGAIN_MS = 200;
/** By then a server of which nothing is heard counts as lost (servers/watch.ts). */
const MOST_AWAY_MS = 15_000;

/**
 * Makes the sync. An agent that is away is waited for until its server counts as lost, since its edge serves meanwhile: a node that was
 * taken away would still get visitors from it. Then it is passed over when another edge was told: its edges follow when it is back.
 * Throws `protocol.disconnected` (retryable) when no edge could be told.
 */
export function makeEdgeSync({ store, agents, clock }: { store: Store; agents: AgentPort; clock: Clock }): EdgeSync {
  return async (signal) => {
    const untilMs = clock.monotonicMs() + MOST_AWAY_MS;
    const told = new Map<string, readonly string[]>();
    for (;;) {
      const edges = new Set((await listEdges(store)).flatMap(({ server }) => server ?? []));
      const states = await listStates(store, [...edges]);
      // What is fenced is out of reach, and is told before it is let in again.
      const servers = [...edges].filter((server) => !told.has(server) && !isApart(states.get(server) ?? 'ready'));
      const outcomes = await Promise.allSettled(
        servers.map(async (server) =>
          told.set(server, (await agents.call(server, 'edge.sync', {}, { timeoutMs: SYNC_MS, signal })).leaving),
        ),
      );
      const failed = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
      const isAway = (thrown: unknown) => thrown instanceof Problem && thrown.code === 'protocol.disconnected';
      const grave = failed.find((thrown) => !isAway(thrown) || told.size === 0);
      if (grave !== undefined) throw grave;
      const awaited = servers.filter((server) => !told.has(server) && states.get(server) !== 'lost');
      if (awaited.length === 0 || clock.monotonicMs() > untilMs)
        return { leaving: [...new Set([...told.values()].flat())] };
      await clock.wait(LOOK_AGAIN_MS, signal);
    }
  };
}
