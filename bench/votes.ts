// `votes`: a pool of real WordPress nodes that grows and shrinks by itself under a step in load, beside the same step on a pool
// of its least and of its most nodes; then the simulated days. Each node may use a quarter of a core, so that more nodes are
// more capacity on one machine too.
import { join } from 'node:path';
import { runCommand } from '../src/engines/command.ts';
import { openRuntime } from '../src/engines/haproxy/runtime.ts';
import { readEdgeStats } from '../src/engines/haproxy/stats.ts';
import { defaultDataDir } from '../src/lib/deployment.ts';
import { type Comparison, compareDays } from '../test/simulation/votes/compare.ts';
import { type Benchmark, type Row, toRow } from './bench.ts';
import { type LoadPart, type LoadReport, startLoad } from './load.ts';
import { DEPLOYMENT, type Place } from './place.ts';
import { quantile, round } from './statistics.ts';

const POOL = 'wordpress';
const [MIN, MAX] = [1, 3];
const GROW_FOR_S = 3;
/** What a page may take at the 99th percentile. */
const BOUND_MS = 750;
const STEP_S = 45;
/** The end of the step, when the pool has had the time to grow. */
const SETTLED_S = 15;
const NODE_CPU = '25ms/100ms';
const SERVED_S = 8;
const COST_RATIO = 1.3;
const SHRINK_MS = 120_000;
const POLL_MS = 100;
const TASK = 'bench-votes';
/** Other noise on each; enough to see the worst. */
const DAY_SEEDS = [1, 101, 201, 301];

const POLICY = {
  min: MIN,
  max: MAX,
  alerts: [
    { metric: 'busy-workers', is: '>', threshold: 3, forS: GROW_FOR_S, vote: 'grow' },
    { metric: 'cpu', is: '<', threshold: 4, forS: 8, vote: 'shrink' },
  ],
  growBy: MAX - MIN,
  calmS: 10,
  stabiliseS: 8,
  jitterS: 0,
};

interface StepReport {
  load: LoadReport;
  /** Of good answers: when (ms of the process) and how long they took. */
  answers: { atMs: number; tookMs: number }[];
  startedMs: number;
  nodeSeconds: number;
}

export const votes: Benchmark = {
  name: 'votes',
  async run(place) {
    const host = place.hostOf(POOL);
    const throttle = keepThrottled(place);
    try {
      const fixed: Record<number, StepReport> = {};
      for (const size of [MIN, MAX]) {
        place.say(`the step on a fixed pool of ${size}`);
        await scaleTo(place, size);
        fixed[size] = await runStep(place, host);
      }
      await scaleTo(place, MIN);
      place.say('the step on a pool that votes');
      await place.client.request('PUT', `/v1/pools/${POOL}/policy`, { body: POLICY });
      await addTask(place);
      const before = new Set((await place.listNodes(POOL)).map(({ name }) => name));
      const served = watchFirstServed(before);
      const step = await runStep(place, host);
      const servedMs = await served.stop();
      place.say('the load goes, the pool shrinks');
      const shrink = await runShrink(place, host);
      const killed = await countKilled(place);
      const days = DAY_SEEDS.flatMap((seed) => compareDays(seed));
      return toMeasured({ fixed, step, servedMs, shrink, killed, days });
    } finally {
      await place.client.request('DELETE', `/v1/pools/${POOL}/policy`).catch(() => undefined);
      await place.client.request('DELETE', `/v1/tasks/${POOL}/${TASK}`).catch(() => undefined);
      await throttle.stop();
      await scaleTo(place, 2);
    }
  },
};

/** Sees to it that every node that serves has its share of a core and no more; `stop` ends it. */
function keepThrottled(place: Place): { stop(): Promise<void> } {
  const done = new Set<string>();
  let running = true;
  const keeping = (async () => {
    while (running) {
      for (const { name, state } of await place.listNodes(POOL)) {
        if (done.has(name) || state !== 'ready') continue;
        const argv = ['incus', '--project', DEPLOYMENT, 'config', 'set', name, `limits.cpu.allowance=${NODE_CPU}`];
        const { code, stderr } = await runCommand(argv, { timeoutMs: 30_000 });
        if (code !== 0) throw new Error(`the node ${name} could not be throttled: ${stderr}`);
        done.add(name);
      }
      await place.clock.wait(5 * POLL_MS);
    }
  })();
  return {
    async stop() {
      running = false;
      await keeping;
    },
  };
}

async function scaleTo(place: Place, size: number): Promise<void> {
  await place.finish(await place.begin('POST', `/v1/pools/${POOL}/scale`, { size }));
}

const visitors = (host: string, workers: number): LoadPart => ({
  host,
  method: 'GET',
  path: '/',
  workers,
  pauseMs: 600,
});

/** Ten visitors, each again 0.6 s after its page: twice what one node can do, two thirds of what three can. */
async function runStep(place: Place, host: string): Promise<StepReport> {
  const answers: StepReport['answers'] = [];
  const startedMs = performance.now();
  const load = startLoad(place.door, [visitors(host, 10)], (_, __, tookMs) =>
    answers.push({ atMs: performance.now(), tookMs }),
  );
  let nodeSeconds = 0;
  for (let lastMs = startedMs; performance.now() - startedMs < STEP_S * 1_000; ) {
    await place.clock.wait(5 * POLL_MS);
    const nodes = await place.listNodes(POOL);
    nodeSeconds += (nodes.length * (performance.now() - lastMs)) / 1_000;
    lastMs = performance.now();
  }
  return { load: await load.stop(), answers, startedMs, nodeSeconds };
}

/** Two visitors go on while the pool shrinks to its least. */
async function runShrink(place: Place, host: string): Promise<LoadReport> {
  const load = startLoad(place.door, [visitors(host, 2)], () => undefined);
  const bound = AbortSignal.timeout(SHRINK_MS);
  try {
    while ((await place.listNodes(POOL)).length > MIN) await place.clock.wait(5 * POLL_MS, bound);
  } finally {
    await load.stop();
  }
  return load.stop();
}

/** When a node that was not there before has first answered a visitor with its page, by the edge's own counters. */
function watchFirstServed(before: ReadonlySet<string>): { stop(): Promise<number | undefined> } {
  const socket = join(defaultDataDir(DEPLOYMENT), 'agent/edges/edge1/admin.sock');
  let running = true;
  let servedMs: number | undefined;
  const watching = (async () => {
    const session = await openRuntime(socket, { signal: AbortSignal.timeout(2 * STEP_S * 1_000), timeoutMs: 5_000 });
    while (running && servedMs === undefined) {
      const pool = (await readEdgeStats(session)).pools.find(({ name }) => name === POOL);
      if (pool?.servers.some(({ name, responses2xx }) => !before.has(name) && responses2xx > 0))
        servedMs = performance.now();
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    session.close();
  })();
  return {
    async stop() {
      running = false;
      await watching;
      return servedMs;
    },
  };
}

/** Runs of four seconds, one begun every five: each node that leaves is likely to have one. */
async function addTask(place: Place): Promise<void> {
  await place.client.request('DELETE', `/v1/tasks/${POOL}/${TASK}`).catch(() => undefined);
  const body = { site: POOL, name: TASK, command: ['sleep', '4'], every: '5s', timeoutS: 60 };
  await place.client.request('POST', '/v1/tasks', { body });
}

async function countKilled(place: Place): Promise<{ runs: number; killed: number }> {
  const { body } = await place.client.request<{ items: { state: string }[] }>('GET', `/v1/tasks/${POOL}/${TASK}/runs`, {
    query: { pageSize: 500 },
  });
  const ended = body.items.filter(({ state }) => !['queued', 'leased', 'running', 'skipped'].includes(state));
  return { runs: ended.length, killed: ended.filter(({ state }) => state !== 'succeeded').length };
}

const p99Of = ({ answers, startedMs }: StepReport): number => {
  const settled = answers.filter(({ atMs }) => atMs - startedMs >= (STEP_S - SETTLED_S) * 1_000);
  return Math.round(
    quantile(
      settled.map(({ tookMs }) => tookMs),
      0.99,
    ),
  );
};
const overOf = ({ answers }: StepReport): number => answers.filter(({ tookMs }) => tookMs > BOUND_MS).length;

function toMeasured(of: {
  fixed: Record<number, StepReport>;
  step: StepReport;
  servedMs: number | undefined;
  shrink: LoadReport;
  killed: { runs: number; killed: number };
  days: readonly Comparison[];
}) {
  const { fixed, step, shrink, killed, days } = of;
  const crossedMs = step.startedMs + GROW_FOR_S * 1_000;
  const served = of.servedMs === undefined ? Number.POSITIVE_INFINITY : round((of.servedMs - crossedMs) / 1_000, 1);
  const all = [step, ...Object.values(fixed)].map(({ load }) => load);
  const failed = step.load.failed + shrink.failed;
  const sum = (read: (day: Comparison) => number) => days.reduce((total, day) => total + read(day), 0);
  const most = (read: (day: Comparison) => number) => round(Math.max(...days.map(read)), 3);
  const figures = {
    threshold_to_served_s: served,
    failed_requests: failed,
    killed_runs: killed.killed,
    p99_settled_ms: p99Of(step),
    resizes_in_calm: sum(({ resizesInCalm }) => resizesInCalm),
    flaps: sum(({ flaps }) => flaps),
    out_of_bounds: sum(({ outOfBounds }) => outOfBounds),
    cost_ratio: most(({ costRatio }) => costRatio),
  };
  const least = fixed[MIN];
  const largest = fixed[MAX];
  const peers = {
    hpa_cost_ratio: most(({ hpaCostRatio }) => hpaCostRatio),
    hpa_flaps: sum(({ hpaFlaps }) => hpaFlaps),
    ...Object.fromEntries(
      (
        [
          ['votes', step],
          ['min', least],
          ['max', largest],
        ] as const
      ).flatMap(([name, report]) =>
        report === undefined
          ? []
          : [
              [`${name}_node_seconds`, Math.round(report.nodeSeconds)],
              [`${name}_over_bound`, overOf(report)],
              [`${name}_requests`, report.load.requests],
              [`${name}_p99_ms`, p99Of(report)],
            ],
      ),
    ),
  };
  const rows: Row[] = [
    toRow("from the end of the threshold's duration to the new node's first page", served, 's', {
      is: '<=',
      value: SERVED_S,
    }),
    toRow(`failed of ${step.load.requests + shrink.requests} requests while it grew and shrank`, failed, '', {
      is: '<=',
      value: 0,
    }),
    toRow(`killed of ${killed.runs} runs of tasks`, killed.killed, '', { is: '<=', value: 0 }),
    toRow(`99 of 100 pages within, in the last ${SETTLED_S} s of the step`, figures.p99_settled_ms, 'ms', {
      is: '<=',
      value: BOUND_MS,
    }),
    ...(
      [
        ['by votes', step],
        [`fixed at ${MIN}`, least],
        [`fixed at ${MAX}`, largest],
      ] as const
    ).flatMap(([name, report]) =>
      report === undefined
        ? []
        : [
            toRow(`${name}: pages over ${BOUND_MS} ms of ${report.answers.length}`, overOf(report), ''),
            toRow(`${name}: node seconds`, Math.round(report.nodeSeconds), ''),
          ],
    ),
    toRow(`simulated days (${days.length}): resizes within a calm time`, figures.resizes_in_calm, '', {
      is: '<=',
      value: 0,
    }),
    toRow('simulated days: grow-shrink-grow within a window', figures.flaps, '', { is: '<=', value: 0 }),
    toRow('simulated days: steps outside min and max', figures.out_of_bounds, '', { is: '<=', value: 0 }),
    toRow('simulated days: node seconds by the cheapest schedule, the dearest day', figures.cost_ratio, '', {
      is: '<=',
      value: COST_RATIO,
    }),
    toRow("the same under the HPA's rules", peers.hpa_cost_ratio, ''),
    toRow("grow-shrink-grow under the HPA's rules", peers.hpa_flaps, ''),
  ];
  const failures = [...all, shrink].flatMap(({ failures: each }) =>
    Object.entries(each).map(([what, count]) => `${count} times: ${what}`),
  );
  return { figures, peers, rows, details: [...failures, ...renderDays(days)] };
}

/** The first of each kind of day, so that one sees where the cost is. */
function renderDays(days: readonly Comparison[]): string[] {
  const first = [...new Map([...days].reverse().map((day) => [day.day, day])).values()].reverse();
  const head = `${'day'.padEnd(14)} ${'cost'.padStart(6)} ${'HPA'.padStart(6)} ${'over, s'.padStart(8)} ${'HPA'.padStart(6)} ${'resizes'.padStart(8)} ${'HPA'.padStart(5)} ${'flaps'.padStart(6)} ${'HPA'.padStart(4)}`;
  return [
    head,
    ...first.map(
      (day) =>
        `${day.day.padEnd(14)} ${day.costRatio.toFixed(3).padStart(6)} ${day.hpaCostRatio.toFixed(3).padStart(6)} ${String(day.overS).padStart(8)} ${String(day.hpaOverS).padStart(6)} ${String(day.resizes).padStart(8)} ${String(day.hpaResizes).padStart(5)} ${String(day.flaps).padStart(6)} ${String(day.hpaFlaps).padStart(4)}`,
    ),
  ];
}
