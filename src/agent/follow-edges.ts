// Brings every edge on this server to the controller's edge document. One sync at a time; calls that come meanwhile share
// the next one, which reads the document anew, so that each caller's change is in what it waits for.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { EdgeStats } from '../engines/haproxy/stats.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { AgentContract, ControllerContract } from '../protocol/contract.ts';
import type { Peer, ResultOf } from '../protocol/peer.ts';
import { protocolProblems } from '../protocol/problems.ts';
import { type EdgeApplier, makeEdgeApplier } from './edge.ts';

const READ_TIMEOUT_MS = 10_000;
const APPLY_TIMEOUT_MS = 20_000;

export interface EdgeSynced {
  version: number;
  /** Nodes that have left and still have connections. */
  leaving: string[];
}

export interface EdgeFollower {
  /** Makes an edge's directory with everything HAProxy needs to start; gives its path. */
  prepare(edge: string): Promise<{ configDir: string }>;
  setEdges(edges: readonly string[]): void;
  sync(): Promise<EdgeSynced>;
  /** What every edge here has counted; one that is away is left out. */
  readStats(signal: AbortSignal): Promise<ReadonlyMap<string, EdgeStats>>;
  forget(edge: string): Promise<void>;
  /** Has every edge here end its connections, each after the answer that it waits for; new ones are taken as before. */
  renew(signal: AbortSignal): Promise<void>;
  /** Requests of a site that the edges here have under way, without those that wait. */
  countUnderWay(site: string, signal: AbortSignal): Promise<number>;
  /** What every edge here counted of a pool's nodes. */
  readTraffic(pool: string, signal: AbortSignal): Promise<NodeTraffic[]>;
}

export type NodeTraffic = ResultOf<AgentContract, 'edge.traffic'>['nodes'][number];

/** `edgesDir`: the folder that holds one folder for each edge. */
export function makeEdgeFollower(parts: {
  edgesDir: string;
  controller: () => Peer<ControllerContract> | undefined;
  /** Ends the keeping of all edges. */
  signal: AbortSignal;
  clock: Clock;
  log: Logger;
}): EdgeFollower {
  const { edgesDir, controller, signal, clock, log } = parts;
  const appliers = new Map<string, { applier: EdgeApplier; keeping: AbortController }>();
  let edges: readonly string[] = [];
  let running: Promise<EdgeSynced> | undefined;
  let next: Promise<EdgeSynced> | undefined;

  function applierOf(edge: string): EdgeApplier {
    const known = appliers.get(edge);
    if (known !== undefined) return known.applier;
    const applier = makeEdgeApplier({ dir: join(edgesDir, edge), clock, log: log.child({ edge }) });
    const keeping = new AbortController();
    appliers.set(edge, { applier, keeping });
    // What is changed behind its back is put right, also while the controller is away.
    applier.keep(AbortSignal.any([signal, keeping.signal])).catch((thrown: unknown) => {
      log.error({ edge, err: thrown }, 'an edge is no longer kept');
    });
    return applier;
  }

  async function syncOnce(): Promise<EdgeSynced> {
    const peer = controller();
    if (peer === undefined) throw protocolProblems.make('disconnected', { name: 'controller' });
    const document = await peer.call('config.edge', {}, { timeoutMs: READ_TIMEOUT_MS });
    const outcomes = await Promise.allSettled(
      edges.map((edge) => applierOf(edge).apply(document, AbortSignal.timeout(APPLY_TIMEOUT_MS))),
    );
    // Every edge had its turn; only then does the one that failed hold up the caller.
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    const applied = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    return { version: document.version, leaving: [...new Set(applied.flatMap((one) => one.serversLeaving))] };
  }

  function start(): Promise<EdgeSynced> {
    next = undefined;
    const mine = syncOnce().finally(() => {
      if (running === mine) running = undefined;
    });
    running = mine;
    return mine;
  }

  return {
    async prepare(edge) {
      await applierOf(edge).prepare();
      return { configDir: join(edgesDir, edge) };
    },
    setEdges(list) {
      edges = list;
    },
    sync() {
      if (next !== undefined) return next;
      if (running === undefined) return start();
      next = running.then(start, start);
      return next;
    },
    async readStats(within) {
      const counted = await Promise.allSettled(
        edges.map(async (edge) => [edge, await applierOf(edge).readStats(within)] as const),
      );
      return new Map(counted.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : [])));
    },
    async readTraffic(pool, signal) {
      const all = await Promise.all(edges.map((edge) => applierOf(edge).readStats(signal)));
      const servers = all.flatMap(({ pools }) => pools.find(({ name }) => name === pool)?.servers ?? []);
      return servers.map(({ name, requests, responses5xx, connectErrors, responseErrors, responseTimeMs }) => {
        // A broken answer may be counted as a response of its kind too: rather once too often than not at all.
        return { node: name, requests, errors: responses5xx + connectErrors + responseErrors, responseTimeMs };
      });
    },
    async countUnderWay(site, signal) {
      const counts = await Promise.all(edges.map((edge) => applierOf(edge).countUnderWay(site, signal)));
      return counts.reduce((sum, count) => sum + count, 0);
    },
    async renew(within) {
      await Promise.all(edges.map((edge) => applierOf(edge).renew(within)));
    },
    async forget(edge) {
      appliers.get(edge)?.keeping.abort(new Error('the edge is gone'));
      appliers.delete(edge);
      await rm(join(edgesDir, edge), { recursive: true, force: true });
    },
  };
}
