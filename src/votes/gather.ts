// Gathers what a decision looks at, from what agents, edges and operations last told. Reads only; what cannot be known is left
// out with its reason, never guessed.
import { HOLDING, listAll } from '../platform/operations/list-all.ts';
import type { Sql } from '../platform/store.ts';
import { poolLock } from '../pools/parts.ts';
import { listNodes, listPools, type NodeRow, type PoolRow } from '../pools/store.ts';
import { freeMb, RESERVED_MEMORY_MB } from '../servers/place.ts';
import { listServers, type ServerRow } from '../servers/store.ts';
import { listServices, type ServiceRow } from '../services/store.ts';
import { siteLock } from '../sites/parts.ts';
import { type Footprint, listFootprints, readPoolsOfSites } from '../sites/store.ts';
import { type Ceiling, databaseCeiling, memoryCeiling } from './ceiling.ts';
import type { Situation, VotingNode } from './decide.ts';
import { foretell } from './forecast.ts';
import type { MetricName } from './metrics.ts';
import type { VotesParts } from './parts.ts';
import {
  listHours,
  listPoolSamples,
  listSamples,
  type PolicyRow,
  type PoolSampleRow,
  type SampleRow,
} from './store.ts';
import { FRESH_MS, type Sample } from './vote.ts';

const MB = 2 ** 20;

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

/** What the store knows of all pools at once: one look asks the same few questions, however many pools there are. */
export interface Facts {
  nowMs: number;
  pools: ReadonlyMap<string, PoolRow>;
  nodes: readonly NodeRow[];
  nodesOf: ReadonlyMap<string, NodeRow[]>;
  samplesOf: ReadonlyMap<string, SampleRow[]>;
  edgesOf: ReadonlyMap<string, PoolSampleRow[]>;
  footprints: ReadonlyMap<string, Footprint>;
  databases: readonly ServiceRow[];
  servers: readonly ServerRow[];
  /** Runs that wait, by the pool of the sites; only where a policy asks. */
  waitingRuns: ReadonlyMap<string, number>;
  /** Only of pools whose last round is of another minute; others keep what it foretold. */
  hoursOf: ReadonlyMap<string, ReadonlyMap<number, number>>;
}

/** What was read beside the transaction. */
export interface Seen {
  underWay: UnderWay;
  failures: ReadonlyMap<string, NonNullable<Situation['failures']>>;
}

const MINUTE_MS = 60_000;
const isSameMinute = (row: PolicyRow, nowMs: number): boolean =>
  row.round !== null && Math.floor(row.round.atMs / MINUTE_MS) === Math.floor(nowMs / MINUTE_MS);

/** Reads them for these policies, whose `now` is the same. */
export async function readFacts(parts: VotesParts, sql: Sql, rows: readonly PolicyRow[]): Promise<Facts> {
  const nowMs = Date.parse(rows[0]?.now ?? '');
  const names = rows.map(({ pool }) => pool);
  const pools = new Map((await listPools(sql)).map((pool) => [pool.name, pool]));
  const sitesOf = (pool: string): string => pools.get(pool)?.worksFor ?? pool;
  const queues = rows.filter(({ policy }) => policy.alerts.some(({ metric }) => metric === 'run-queue'));
  const due = rows.filter((row) => !isSameMinute(row, nowMs)).map(({ pool }) => pool);
  const nodes = await listNodes(sql);
  return {
    ...{ nowMs, pools, nodes },
    nodesOf: Map.groupBy(nodes, ({ pool }) => pool),
    samplesOf: Map.groupBy(await listSamples(sql, names), ({ node }) => node),
    edgesOf: Map.groupBy(await listPoolSamples(sql, names), ({ pool }) => pool),
    footprints: await listFootprints(sql, names.map(sitesOf)),
    databases: await listServices(sql, 'database'),
    servers: (await listServers(sql)).filter(({ state, load }) => state === 'ready' && load !== undefined),
    waitingRuns:
      queues.length === 0
        ? new Map()
        : await parts.countWaitingRuns(
            sql,
            queues.map(({ pool }) => sitesOf(pool)),
          ),
    hoursOf: due.length === 0 ? new Map() : await listHours(sql, due, nowMs),
  };
}

/** One pool's situation. Pure. */
export function toSituation(
  row: PolicyRow,
  pool: PoolRow,
  facts: Facts,
  { underWay, failures }: Seen,
  othersGrow: readonly string[],
): Situation {
  const { nowMs } = facts;
  const { policy } = row;
  const nodes = facts.nodesOf.get(pool.name) ?? [];
  const footprint = facts.footprints.get(pool.worksFor ?? pool.name) ?? NO_FOOTPRINT;
  const samples = nodes.flatMap(({ name }) => facts.samplesOf.get(name) ?? []);
  const metrics = new Set(policy.alerts.map(({ metric }) => metric));
  const living = Math.max(1, nodes.filter(({ state }) => state === 'ready').length);
  const perNode: Partial<Record<MetricName, number | string>> = {};
  if (pool.worksFor !== null && metrics.has('run-queue'))
    perNode['run-queue'] = (facts.waitingRuns.get(pool.worksFor) ?? 0) / living;
  if (metrics.has('site-number')) perNode['site-number'] = readSiteNumber(row, nowMs, living);
  const given = { nodeMemoryMb: pool.nodeMemoryMb, atEdge: pool.worksFor === null, perNode };
  const voting: VotingNode[] = nodes.map(({ name, state }) => ({
    ...{ name, state },
    sample: toSample(facts.samplesOf.get(name) ?? [], given, nowMs),
  }));
  const changed = row.seenWanted !== pool.wanted;
  const booting = nodes.filter(({ state }) => state === 'booting').length;
  const hours = facts.hoursOf.get(pool.name);
  return {
    ...{ nowMs, pool: pool.name, wanted: pool.wanted, nodes: voting },
    resizedAtMs: changed ? nowMs : row.resizedAt === null ? undefined : Date.parse(row.resizedAt),
    held:
      pool.state !== 'ready'
        ? `the pool is ${pool.state}`
        : pool.otherGeneration === null
          ? underWay.locks.get(poolLock(pool.name))
          : 'its sites are on two images: a wave is not over',
    paused:
      row.pausedBy === null
        ? undefined
        : `${row.pausedBy} paused it${row.pausedReason === null ? '' : `: ${row.pausedReason}`}`,
    unsettled: findUnsettled(facts, footprint),
    ceilings: findCeilings(facts, pool, footprint, booting, samples),
    ...{ failures: failures.get(pool.name), othersGrow },
    visits: toVisits(facts, pool),
    work: underWay.onSitesOf.get(pool.name),
    foretold: isSameMinute(row, nowMs) ? (row.round?.foretold ?? undefined) : foretell(hours ?? new Map(), nowMs),
  };
}

const NO_FOOTPRINT: Footprint = { databaseServers: [], phpWorkers: 0 };

export interface UnderWay {
  /** What holds which lock now, by the lock. */
  locks: ReadonlyMap<string, string>;
  /** An operation that works on a site of the pool, by the pool. */
  onSitesOf: ReadonlyMap<string, string>;
}

export async function readUnderWay(parts: VotesParts): Promise<UnderWay> {
  const items = await listAll(parts.operations, { states: HOLDING });
  const say = (list: typeof items) =>
    list.flatMap(({ id, title, state, locks }) =>
      locks.map((lock): [string, string] => [lock, `"${title}" (${id}) is ${state}`]),
    );
  // What needs a person may stay for days: nothing is kept awake for it.
  const sites = say(items.filter(({ state }) => state !== 'fatal')).flatMap(([lock, text]) =>
    lock.startsWith(siteLock('')) ? [{ site: lock.slice(siteLock('').length), text }] : [],
  );
  const pools =
    sites.length === 0
      ? new Map<string, string>()
      : await readPoolsOfSites(
          parts.store,
          sites.map(({ site }) => site),
        );
  const onSites = sites.flatMap(({ site, text }): [string, string][] => {
    const pool = pools.get(site);
    return pool === undefined ? [] : [[pool, text]];
  });
  return { locks: new Map(say(items)), onSitesOf: new Map(onSites) };
}

/** A database server that is being healed makes the pool look idle: nothing is taken away meanwhile. */
function findUnsettled({ databases }: Facts, { databaseServers }: Footprint): string | undefined {
  const used = new Set(databaseServers);
  const odd = databases.find(({ name, state }) => used.has(name) && state !== 'ready');
  return odd === undefined ? undefined : `its database server ${odd.name} is ${odd.state}`;
}

function findCeilings(
  { databases: services, servers, nodes, pools }: Facts,
  pool: PoolRow,
  { databaseServers, phpWorkers }: Footprint,
  booting: number,
  samples: readonly SampleRow[],
): Ceiling[] {
  const used = new Set(databaseServers);
  const databases = services.flatMap(({ name, health }) => {
    const { connections } = (health ?? {}) as { connections?: { used: number; max: number } };
    return used.has(name) && connections !== undefined ? [{ name, ...connections }] : [];
  });
  const atWork = samples.map(({ figures }) => figures.busyWorkers ?? 0);
  const workers = Math.max(...atWork, phpWorkers, 1);
  const memoryOf = (node: NodeRow): number => pools.get(node.pool)?.nodeMemoryMb ?? 0;
  const rooms = servers.map((server) => {
    const here = nodes.filter((node) => node.server === server.name);
    const ofPool = here.filter((node) => node.pool === pool.name);
    const notYet = here.filter(({ state }) => state === 'booting').reduce((sum, node) => sum + memoryOf(node), 0);
    return {
      name: server.name,
      freeMb: freeMb(server) - notYet,
      nodesMb: here.reduce((sum, node) => sum + memoryOf(node), 0),
      ofPool: ofPool.length,
    };
  });
  const wish = { wanted: pool.wanted, nodeMemoryMb: pool.nodeMemoryMb, reservedMb: RESERVED_MEMORY_MB, most: 100 };
  const byDatabase = databaseCeiling(databases, { wanted: pool.wanted - booting, workers });
  return [memoryCeiling(rooms, wish), byDatabase].filter((one) => one !== undefined);
}

function toVisits({ edgesOf, nowMs }: Facts, pool: PoolRow): Situation['visits'] {
  if (pool.worksFor !== null) return undefined;
  const edges = (edgesOf.get(pool.name) ?? []).filter(({ takenAt }) => nowMs - Date.parse(takenAt) < FRESH_MS);
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
