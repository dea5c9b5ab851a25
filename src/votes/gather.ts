// Gathers what a decision looks at, from what agents, edges and operations last told. Reads only; what cannot be known is left
// out with its reason, never guessed.
import type { Sql } from '../platform/store.ts';
import { poolLock } from '../pools/parts.ts';
import { listNodes, listPools, type PoolRow } from '../pools/store.ts';
import { freeMb, RESERVED_MEMORY_MB } from '../servers/place.ts';
import { listServers } from '../servers/store.ts';
import { listServices } from '../services/store.ts';
import { readFootprint } from '../sites/store.ts';
import { type Ceiling, databaseCeiling, memoryCeiling } from './ceiling.ts';
import type { Situation, VotingNode } from './decide.ts';
import { foretell } from './forecast.ts';
import type { MetricName } from './metrics.ts';
import type { VotesParts } from './parts.ts';
import { listHours, listPoolSamples, listSamples, type PolicyRow, type SampleRow } from './store.ts';
import { FRESH_MS, type Sample } from './vote.ts';

const MB = 2 ** 20;
const WEEKS_MS = 15 * 86_400_000;
/** Failures of new nodes older than this no longer count. */
const FAILURE_WINDOW_MS = 7_200_000;

/** The agent's figures as metrics. */
const FROM_AGENT: Partial<Record<MetricName, string>> = {
  cpu: 'cpuPercent',
  'cpu-pressure': 'cpuPressure',
  'memory-pressure': 'memoryPressure',
  'busy-workers': 'busyWorkers',
  'worker-queue': 'workerQueue',
};

/** One node's sample, of what its agent and the edges told. Old figures of an edge are missing; old ones of the agent make it silent. */
export function toSample(
  rows: readonly SampleRow[],
  pool: { nodeMemoryMb: number; atEdge: boolean; perNode: Partial<Record<MetricName, number | string>> },
  nowMs: number,
): Sample | undefined {
  const agent = rows.find(({ source }) => source === 'agent');
  if (agent === undefined) return undefined;
  const sample: Required<Sample> = { takenAtMs: Date.parse(agent.takenAt), values: {}, missing: {} };
  for (const [metric, figure] of Object.entries(FROM_AGENT) as [MetricName, string][]) {
    const value = agent.figures[figure];
    if (typeof value === 'number') sample.values[metric] = value;
    else sample.missing[metric] = agent.figures.missing?.[figure] ?? 'its agent does not tell';
  }
  const { memoryBytes } = agent.figures;
  if (memoryBytes !== undefined) sample.values.memory = (100 * memoryBytes) / MB / pool.nodeMemoryMb;
  else sample.missing.memory = agent.figures.missing?.memoryBytes ?? 'its agent does not tell';
  if (pool.atEdge)
    addEdge(
      sample,
      rows.filter(({ source }) => source !== 'agent'),
      nowMs,
    );
  for (const [metric, value] of Object.entries(pool.perNode) as [MetricName, number | string][]) {
    if (typeof value === 'number') sample.values[metric] = value;
    else sample.missing[metric] = value;
  }
  return sample;
}

function addEdge(sample: Required<Sample>, rows: readonly SampleRow[], nowMs: number): void {
  const fresh = rows.filter(({ takenAt }) => nowMs - Date.parse(takenAt) < FRESH_MS).map(({ figures }) => figures);
  if (fresh.length === 0) {
    for (const metric of ['requests', 'response-time', 'edge-queue'] as const)
      sample.missing[metric] = 'no edge tells of it';
    return;
  }
  const sum = (name: string) => fresh.reduce((total, figures) => total + (figures[name] ?? Number.NaN), 0);
  sample.values.requests = sum('requestsPerS');
  sample.values['edge-queue'] = sum('current') + sum('queued');
  const busy = fresh.filter((figures) => (figures.requestsPerS ?? 0) + (figures.current ?? 0) > 0);
  if (busy.length === 0) sample.missing['response-time'] = 'no request came';
  else sample.values['response-time'] = Math.max(...busy.map((figures) => figures.responseTimeMs ?? Number.NaN));
}

/** `others`: pools that grow now or have just grown. `operations`: those under way, read before the transaction. */
export async function gather(
  parts: VotesParts,
  sql: Sql,
  row: PolicyRow,
  pool: PoolRow,
  seen: { others: readonly string[]; underWay: UnderWay; failures: Situation['failures'] },
): Promise<Situation> {
  const nowMs = Date.parse(row.now);
  const { policy } = row;
  const [nodes, samples, footprint] = [
    await listNodes(sql, { pool: pool.name }),
    await listSamples(sql, pool.name),
    await readFootprint(sql, pool.worksFor ?? pool.name),
  ];
  const metrics = new Set(policy.alerts.map(({ metric }) => metric));
  const living = Math.max(1, nodes.filter(({ state }) => state === 'ready').length);
  const perNode: Partial<Record<MetricName, number | string>> = {};
  if (pool.worksFor !== null && metrics.has('run-queue'))
    perNode['run-queue'] = (await parts.countWaitingRuns(sql, pool.worksFor)) / living;
  if (metrics.has('site-number')) perNode['site-number'] = readSiteNumber(row, nowMs, living);
  const given = { nodeMemoryMb: pool.nodeMemoryMb, atEdge: pool.worksFor === null, perNode };
  const voting: VotingNode[] = nodes.map(({ name, state }) => ({
    name,
    state,
    sample: toSample(
      samples.filter(({ node }) => node === name),
      given,
      nowMs,
    ),
  }));
  const changed = row.seenWanted !== pool.wanted;
  const booting = nodes.filter(({ state }) => state === 'booting').length;
  const hours = new Map(
    (await listHours(sql, pool.name, nowMs - WEEKS_MS)).map(({ hour, needed }) => [Date.parse(hour), needed]),
  );
  return {
    ...{ nowMs, pool: pool.name, wanted: pool.wanted, nodes: voting },
    resizedAtMs: changed ? nowMs : row.resizedAt === null ? undefined : Date.parse(row.resizedAt),
    held: pool.state === 'ready' ? seen.underWay.get(poolLock(pool.name)) : `the pool is ${pool.state}`,
    paused:
      row.pausedBy === null
        ? undefined
        : `${row.pausedBy} paused it${row.pausedReason === null ? '' : `: ${row.pausedReason}`}`,
    unsettled: await findUnsettled(sql, footprint),
    ceilings: await findCeilings(sql, pool, footprint, booting, samples),
    ...{ failures: seen.failures, othersGrow: seen.others },
    visits: await readVisits(sql, pool, nowMs),
    foretold: foretell(hours, nowMs),
  };
}

type Footprint = Awaited<ReturnType<typeof readFootprint>>;

/** What holds which lock now, by the lock. */
export type UnderWay = ReadonlyMap<string, string>;

export async function readUnderWay(parts: VotesParts): Promise<UnderWay> {
  const { items } = await parts.operations.list({ states: ['pending', 'running', 'recovering', 'fatal'], limit: 500 });
  return new Map(
    items.flatMap(({ id, title, state, locks }) => locks.map((lock) => [lock, `"${title}" (${id}) is ${state}`])),
  );
}

/** A database server that is being healed makes the pool look idle: nothing is taken away meanwhile. */
async function findUnsettled(sql: Sql, { databaseServers }: Footprint): Promise<string | undefined> {
  const used = new Set(databaseServers);
  const odd = (await listServices(sql, 'database')).find(({ name, state }) => used.has(name) && state !== 'ready');
  return odd === undefined ? undefined : `its database server ${odd.name} is ${odd.state}`;
}

async function findCeilings(
  sql: Sql,
  pool: PoolRow,
  { databaseServers, phpWorkers }: Footprint,
  booting: number,
  samples: readonly SampleRow[],
): Promise<Ceiling[]> {
  const used = new Set(databaseServers);
  const databases = (await listServices(sql, 'database')).flatMap(({ name, health }) => {
    const { connections } = (health ?? {}) as { connections?: { used: number; max: number } };
    return used.has(name) && connections !== undefined ? [{ name, ...connections }] : [];
  });
  const atWork = samples.map(({ figures }) => figures.busyWorkers ?? 0);
  const workers = Math.max(...atWork, phpWorkers, 1);
  const servers = (await listServers(sql)).filter(({ state, load }) => state === 'ready' && load !== undefined);
  const nodes = await listNodes(sql);
  const memory = new Map((await listPools(sql)).map(({ name, nodeMemoryMb }) => [name, nodeMemoryMb]));
  const rooms = servers.map((server) => {
    const here = nodes.filter((node) => node.server === server.name);
    const ofPool = here.filter((node) => node.pool === pool.name);
    const notYet = here
      .filter(({ state }) => state === 'booting')
      .reduce((sum, node) => sum + (memory.get(node.pool) ?? 0), 0);
    return {
      name: server.name,
      freeMb: freeMb(server) - notYet,
      nodesMb: here.reduce((sum, node) => sum + (memory.get(node.pool) ?? 0), 0),
      ofPool: ofPool.length,
    };
  });
  const wish = { wanted: pool.wanted, nodeMemoryMb: pool.nodeMemoryMb, reservedMb: RESERVED_MEMORY_MB, most: 100 };
  const byDatabase = databaseCeiling(databases, { wanted: pool.wanted - booting, workers });
  return [memoryCeiling(rooms, wish), byDatabase].filter((one) => one !== undefined);
}

async function readVisits(sql: Sql, pool: PoolRow, nowMs: number): Promise<Situation['visits']> {
  if (pool.worksFor !== null) return undefined;
  const edges = (await listPoolSamples(sql, pool.name)).filter(({ takenAt }) => nowMs - Date.parse(takenAt) < FRESH_MS);
  if (edges.length === 0) return undefined;
  return {
    lastMs: Math.max(...edges.map(({ visitedAt }) => Date.parse(visitedAt))),
    held: edges.reduce((sum, { underWay }) => sum + underWay, 0),
  };
}

function readSiteNumber(row: PolicyRow, nowMs: number, living: number): number | string {
  const ageMs = row.siteNumberAt === null ? Number.POSITIVE_INFINITY : nowMs - Date.parse(row.siteNumberAt);
  if (row.siteNumber !== null && ageMs < 3 * FRESH_MS) return row.siteNumber / living;
  return row.siteNumberProblem ?? 'its URL has not been asked yet';
}

/** New nodes of each pool that failed since its last good one. */
export async function readFailures(
  parts: VotesParts,
  nowMs: number,
): Promise<Map<string, NonNullable<Situation['failures']>>> {
  const { items } = await parts.operations.list({ kind: 'node.create', limit: 50 });
  const found = new Map<string, NonNullable<Situation['failures']>>();
  const settled = new Set<string>();
  // Newest first.
  for (const { params, state, endedAt, problem } of items) {
    const { pool = '' } = params as { pool?: string };
    if (endedAt === null || settled.has(pool) || state === 'cancelled') continue;
    const endedMs = Date.parse(endedAt);
    if (state === 'succeeded' || nowMs - endedMs > FAILURE_WINDOW_MS) settled.add(pool);
    else {
      const before = found.get(pool);
      const why = before?.why ?? problem?.detail ?? state;
      found.set(pool, { count: (before?.count ?? 0) + 1, lastMs: before?.lastMs ?? endedMs, why });
    }
  }
  return found;
}
