// Brings every edge to what the store says. Each agent that carries edges reads the document itself; this only says when.
// Apart from creating edges because pools and sites end with it too.
import { Problem } from '../lib/errors.ts';
import type { Store } from '../platform/store.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import { listApart } from '../servers/store.ts';
import { listEdges } from './store.ts';

/** Gives the nodes that an edge still has connections to. */
export type EdgeSync = (signal: AbortSignal) => Promise<{ leaving: string[] }>;

const SYNC_MS = 20_000;

/** Makes the sync. An agent that is away is passed over when another edge is there: its edges follow when it is back. */
export function makeEdgeSync(store: Store, agents: AgentPort): EdgeSync {
  return async (signal) => {
    const edges = new Set((await listEdges(store)).map((edge) => edge.server));
    // What is fenced is out of reach, and is told before it is let in again.
    const apart = await listApart(store);
    const servers = [...edges].filter((server) => server !== null && !apart.has(server)) as string[];
    const outcomes = await Promise.allSettled(
      servers.map((server) => agents.call(server, 'edge.sync', {}, { timeoutMs: SYNC_MS, signal })),
    );
    const done = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const failed = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
    const away = (thrown: unknown) => thrown instanceof Problem && thrown.code === 'protocol.disconnected';
    const grave = failed.find((thrown) => !away(thrown) || done.length === 0);
    if (grave !== undefined) throw grave;
    return { leaving: [...new Set(done.flatMap((answer) => answer.leaving))] };
  };
}
