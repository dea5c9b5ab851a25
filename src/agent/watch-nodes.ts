// Knows of every node on this server whether it can serve. State is wrong when a node's last probe is older than
// the interval. A node turns healthy with one good answer and unhealthy with two bad ones in a row, so that a
// single lost packet makes nobody build a new node.
import type { Clock } from '../lib/clock.ts';
import type { AgentNode, NodeReport } from '../protocol/contract.ts';
import { probe } from './probe.ts';

const BAD_ANSWERS_UNTIL_UNHEALTHY = 2;
const PROBE_TIMEOUT_MS = 2_000;

interface Watched {
  healthy: boolean;
  changedAtMs: number;
  badInARow: number;
  detail: string;
}

export interface NodeWatch {
  /** Replaces the list of nodes to watch. */
  setNodes(nodes: readonly AgentNode[]): void;
  /** Probes every node once and returns what is known now. */
  probeAll(signal: AbortSignal): Promise<NodeReport[]>;
}

/** Makes the watch; `ask` is the probe of one address (the default sends a request for the node's health page). */
export function makeNodeWatch(
  clock: Clock,
  ask = (address: string, signal: AbortSignal) =>
    probe({ address, host: 'health.invalid', path: '/.espalier/health', contains: 'ok' }, PROBE_TIMEOUT_MS, signal),
): NodeWatch {
  let nodes: readonly AgentNode[] = [];
  const watched = new Map<string, Watched>();

  async function look(node: AgentNode, signal: AbortSignal): Promise<NodeReport> {
    const before = watched.get(node.name) ?? {
      healthy: false,
      changedAtMs: clock.monotonicMs(),
      badInARow: 0,
      detail: 'not probed yet',
    };
    const answer = await ask(node.address, signal);
    const badInARow = answer.ok ? 0 : before.badInARow + 1;
    const healthy = answer.ok || (before.healthy && badInARow < BAD_ANSWERS_UNTIL_UNHEALTHY);
    const changedAtMs = healthy === before.healthy ? before.changedAtMs : clock.monotonicMs();
    watched.set(node.name, { healthy, changedAtMs, badInARow, detail: answer.detail });
    return { name: node.name, healthy, sinceMs: clock.monotonicMs() - changedAtMs, detail: answer.detail };
  }

  return {
    setNodes(next) {
      nodes = next;
      const names = new Set(next.map((node) => node.name));
      for (const name of watched.keys()) if (!names.has(name)) watched.delete(name);
    },
    probeAll: (signal) => Promise.all(nodes.filter((node) => node.wanted).map((node) => look(node, signal))),
  };
}
