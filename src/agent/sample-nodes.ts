// Samples the load of every node on this server, and of every pool at the edges here, for the votes. Wrong is a sample that is
// older than SAMPLE_MS; each says how old it is, so that one who hangs is heard to hang.
import { availableParallelism } from 'node:os';
import type { EdgeStats, PoolStats, ServerStats } from '../engines/haproxy/stats.ts';
import type { Clock } from '../lib/clock.ts';
import type { EdgeSample, NodeSample } from '../protocol/contract.ts';
import { type NodeFigures, readFigures } from './node-figures.ts';

export const SAMPLE_MS = 1_000;

export interface LoadSampler {
  setNodes(names: readonly string[]): void;
  lookAtNodes(signal: AbortSignal): Promise<void>;
  /** Apart: an edge that is being changed answers late, and the nodes' figures must not grow old by it. */
  lookAtEdges(signal: AbortSignal): Promise<void>;
  /** What is known now, with its age. */
  current(): { nodes: NodeSample[]; edges: EdgeSample[] };
}

interface Known {
  pid: number;
  atMs: number;
  cpuS: number | undefined;
  sample: Omit<NodeSample, 'ageMs'>;
}

/** `readPid`: the first process of a container, 0 when it does not run. `readEdges`: what each edge here has counted. */
export function makeLoadSampler(parts: {
  clock: Clock;
  readPid: (node: string, signal: AbortSignal) => Promise<number>;
  readEdges: (signal: AbortSignal) => Promise<ReadonlyMap<string, EdgeStats>>;
  read?: (pid: number) => Promise<NodeFigures | undefined>;
  cores?: number;
}): LoadSampler {
  const { clock, readPid, readEdges, read = readFigures, cores = availableParallelism() } = parts;
  let names: readonly string[] = [];
  const known = new Map<string, Known>();
  let edges: { atMs: number; samples: Omit<EdgeSample, 'ageMs'>[] } = { atMs: 0, samples: [] };

  async function look(node: string, signal: AbortSignal): Promise<void> {
    const before = known.get(node);
    let pid = before?.pid ?? 0;
    let figures = pid === 0 ? undefined : await read(pid);
    if (figures === undefined) {
      pid = await readPid(node, signal);
      figures = pid === 0 ? undefined : await read(pid);
    }
    // Nothing new: what is known grows old.
    if (figures === undefined) return;
    const atMs = clock.monotonicMs();
    const same = before?.pid === pid ? before : undefined;
    const spentS = same?.cpuS === undefined || figures.cpuS === undefined ? undefined : figures.cpuS - same.cpuS;
    const passedS = (atMs - (same?.atMs ?? atMs)) / 1_000;
    const cpuPercent =
      spentS === undefined || passedS <= 0 || spentS < 0 ? undefined : (100 * spentS) / passedS / cores;
    const { missing, cpuS, ...gauges } = figures;
    const { cpuS: whyCpu, ...others } = missing;
    const why = cpuPercent !== undefined ? {} : { cpuPercent: whyCpu ?? 'it takes two looks' };
    known.set(node, {
      ...{ pid, atMs, cpuS },
      sample: { node, ...gauges, ...(cpuPercent === undefined ? {} : { cpuPercent }), missing: { ...others, ...why } },
    });
  }

  return {
    setNodes(next) {
      names = next;
      for (const name of known.keys()) if (!next.includes(name)) known.delete(name);
    },
    async lookAtNodes(signal) {
      const outcomes = await Promise.allSettled(names.map((name) => look(name, signal)));
      const failed = outcomes.find((outcome) => outcome.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    },
    async lookAtEdges(signal) {
      const all = await readEdges(signal);
      edges = {
        atMs: clock.monotonicMs(),
        samples: [...all].map(([edge, stats]) => ({ edge, pools: stats.pools.map(toPoolSample) })),
      };
    },
    current() {
      const nowMs = clock.monotonicMs();
      return {
        nodes: [...known.values()].map(({ atMs, sample }) => ({ ...sample, ageMs: nowMs - atMs })),
        edges: edges.samples.map((sample) => ({ ...sample, ageMs: nowMs - edges.atMs })),
      };
    },
  };
}

function toPoolSample({ name, requests, current, queued, servers }: PoolStats): EdgeSample['pools'][number] {
  const toServer = (server: ServerStats) => ({
    node: server.name,
    ...{ requests: server.requests, requestsPerS: server.requestsPerS, current: server.current },
    ...{ queued: server.queued, responseTimeMs: server.responseTimeMs },
  });
  return { pool: name, requests, current, queued, servers: servers.map(toServer) };
}
