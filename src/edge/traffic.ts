// What all edges together counted of a pool's nodes. Apart from syncing them, which changes something.
import { Problem } from '../lib/errors.ts';
import type { Store } from '../platform/store.ts';
import type { NodeTraffic } from '../pools/parts.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import { listEdges } from './store.ts';

const READ_MS = 10_000;

/** Makes the reader; `pool` is the key of a generation. A server whose agent is away is passed over while another edge answers. */
export function makeTrafficReader(store: Store, agents: AgentPort) {
  return async (pool: string, signal: AbortSignal): Promise<Map<string, NodeTraffic>> => {
    const edges = await listEdges(store);
    const servers = [...new Set(edges.flatMap(({ server }) => (server === null ? [] : [server])))];
    const outcomes = await Promise.allSettled(
      servers.map((server) => agents.call(server, 'edge.traffic', { pool }, { timeoutMs: READ_MS, signal })),
    );
    const answers = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value.nodes : []));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    const isAway = failed?.reason instanceof Problem && failed.reason.code === 'protocol.disconnected';
    if (failed !== undefined && !(isAway && outcomes.length > 1)) throw failed.reason;
    const sums = new Map<string, NodeTraffic>();
    for (const { node, requests, errors, responseTimeMs } of answers) {
      const before = sums.get(node) ?? { requests: 0, errors: 0, responseTimeMs: 0 };
      sums.set(node, {
        requests: before.requests + requests,
        errors: before.errors + errors,
        responseTimeMs: Math.max(before.responseTimeMs, responseTimeMs),
      });
    }
    return sums;
  };
}
