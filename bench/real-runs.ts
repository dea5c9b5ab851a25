// Real runs through the whole path: due, chosen, leased, ordered from the agent, a unit in a node as the site's user with
// its limits, its output and its result reported and kept. Beside it the same command by one exec of systemd-run a run.
import { type Measured, toRow } from './bench.ts';
import type { Place } from './place.ts';
import { median, round } from './statistics.ts';

/** What the measurement needs of the place: a deployment that is up, with these sites. */
export type RealRunsPlace = Pick<Place, 'client' | 'clock' | 'fleet' | 'listNodes' | 'say'>;

const SITES = ['wordpress', 'mediawiki'] as const;
/** Due each second: more than any of this machine's size does, so that something always waits. */
const TASKS = 300;
const COMMAND = ['sh', '-c', 'echo done'];
const WARM_UP_MS = 4_000;
const MEASURED_MS = 20_000;
const SINGLE_RUNS = 20;
/** At once, as the prototype had them. */
const REFERENCE_AT_ONCE = 8;
const REFERENCE_MS = 8_000;
const REQUESTS_AT_ONCE = 8;
const TARGET_PER_S = 60;
/** Under the limits that a task of the bench has. */
const LIMITS = { timeoutS: 60, memoryMb: 128 };
const BOUND = { timeoutMs: 30_000 };

interface RunDocument {
  id: number | null;
  state: string;
  enqueuedAt: string | null;
  startedAt: string | null;
  endedAt: string | null;
}
interface SiteDocument {
  id: string;
  pool: string;
}

/** Measures `real_runs_per_s` and what a run costs above its command; everything made here is removed. */
export async function measureRealRuns(place: RealRunsPlace): Promise<Measured> {
  const names = Array.from({ length: TASKS }, (_, index) => `${SITES[index % SITES.length]}/bench-${index}`);
  await removeTasks(place, names);
  try {
    const single = await measureSingle(place);
    place.say(`${TASKS} tasks, each due every second`);
    const many = await measureMany(place, names);
    const reference = await measureReference(place);
    const figures = {
      real_runs_per_s: round(many.perS, 1),
      real_run_ms: round(single.runMs, 1),
      real_run_overhead_ms: round(Math.max(0, single.runMs - reference.bareMs), 1),
    };
    const peers = {
      'systemd-run': round(reference.perS, 1),
      'systemd-run_ms': round(reference.runMs, 1),
      bare_ms: round(reference.bareMs, 1),
    };
    return {
      figures,
      peers,
      rows: [
        toRow('real runs through the whole path', figures.real_runs_per_s, '/s', { is: '>=', value: TARGET_PER_S }),
        toRow('the same by one exec of systemd-run a run', peers['systemd-run'], '/s'),
        toRow('one run alone, asked for to recorded', figures.real_run_ms, 'ms'),
        toRow('of which above the bare command', figures.real_run_overhead_ms, 'ms'),
        toRow('one alone by systemd-run', peers['systemd-run_ms'], 'ms'),
      ],
      details: [`${many.runs} runs in ${MEASURED_MS / 1000} s of ${TASKS} tasks; ${many.failed} did not succeed`],
    };
  } finally {
    await removeTasks(place, names);
  }
}

/** Does something for each, some at a time. */
async function forEach<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async (): Promise<void> => {
    for (let item = left.pop(); item !== undefined; item = left.pop()) await work(item);
  };
  await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, worker));
}

async function removeTasks({ client }: RealRunsPlace, names: readonly string[]): Promise<void> {
  await forEach([...names, `${SITES[0]}/bench-single`], async (name) => {
    await client.request('DELETE', `/v1/tasks/${name}`).catch(() => undefined);
  });
  for (const site of SITES) await client.request('PATCH', `/v1/shares/${site}`, { body: { mostRuns: null } });
}

async function addTask({ client }: RealRunsPlace, name: string, every?: string): Promise<void> {
  const [site, own] = name.split('/');
  const body = { site, name: own, command: COMMAND, every, ...LIMITS, retryLimit: 0 };
  await client.request('POST', '/v1/tasks', { body });
}

async function listRuns({ client }: RealRunsPlace, name: string): Promise<RunDocument[]> {
  const { body } = await client.request<{ items: RunDocument[] }>('GET', `/v1/tasks/${name}/runs`, {
    query: { pageSize: 500 },
  });
  return body.items;
}

/** How many succeed a second while more are due than can be done. */
async function measureMany(
  place: RealRunsPlace,
  names: readonly string[],
): Promise<{ perS: number; runs: number; failed: number }> {
  const { client, clock } = place;
  for (const site of SITES) await client.request('PATCH', `/v1/shares/${site}`, { body: { mostRuns: TASKS } });
  await forEach(names, (name) => addTask(place, name, '1s'));
  await clock.wait(WARM_UP_MS);
  const fromMs = clock.nowMs();
  await clock.wait(MEASURED_MS);
  const toMs = clock.nowMs();
  await forEach(names, async (name) => void (await client.request('POST', `/v1/tasks/${name}/pause`)));
  let [runs, failed] = [0, 0];
  await forEach(names, async (name) => {
    for (const { id, state, endedAt } of await listRuns(place, name)) {
      const endedMs = endedAt === null ? 0 : Date.parse(endedAt);
      if (id === null || endedMs < fromMs || endedMs >= toMs) continue;
      if (state === 'succeeded') runs += 1;
      else failed += 1;
    }
  });
  return { perS: runs / ((toMs - fromMs) / 1000), runs, failed };
}

/** One run at a time, from being asked for to its end in the history, by the database's clock. */
async function measureSingle(place: RealRunsPlace): Promise<{ runMs: number }> {
  const name = `${SITES[0]}/bench-single`;
  await addTask(place, name);
  const times: number[] = [];
  for (let count = 0; count < SINGLE_RUNS; count += 1) {
    const { body } = await place.client.request<RunDocument>('POST', `/v1/tasks/${name}/run`);
    for (const untilMs = place.clock.monotonicMs() + BOUND.timeoutMs; ; await place.clock.wait(20)) {
      if (place.clock.monotonicMs() > untilMs)
        throw new Error(`run ${body.id} has not ended; ask \`espalier why run ${body.id}\``);
      const run = (await place.client.request<RunDocument>('GET', `/v1/runs/${body.id}`)).body;
      if (run.endedAt === null || run.enqueuedAt === null) continue;
      if (run.state !== 'succeeded') throw new Error(`a run of the bench ${run.state}`);
      times.push(Date.parse(run.endedAt) - Date.parse(run.enqueuedAt));
      break;
    }
  }
  return { runMs: median(times) };
}

/** The command alone, and as one would run it without us. */
async function measureReference(place: RealRunsPlace): Promise<{ perS: number; runMs: number; bareMs: number }> {
  const { client, clock, fleet } = place;
  const site = (await client.request<SiteDocument>('GET', `/v1/sites/${SITES[0]}`)).body;
  const [node] = await place.listNodes(site.pool);
  if (node === undefined) throw new Error(`the pool ${site.pool} has no nodes`);
  const asUser = [
    '-p',
    `User=${site.id}`,
    '-p',
    `MemoryMax=${LIMITS.memoryMb}M`,
    '-p',
    `RuntimeMaxSec=${LIMITS.timeoutS}`,
  ];
  const argv = ['systemd-run', '--wait', '--pipe', '--quiet', '--collect', ...asUser, ...COMMAND];
  const runOne = async (): Promise<void> => {
    const { code, stderr } = await fleet.exec(node.name, argv, BOUND);
    if (code !== 0) throw new Error(`systemd-run exited with ${code}: ${stderr}`);
  };
  const timeOf = async (work: () => Promise<unknown>): Promise<number> => {
    const startedMs = clock.monotonicMs();
    await work();
    return clock.monotonicMs() - startedMs;
  };
  const alone: number[] = [];
  for (let count = 0; count < SINGLE_RUNS; count += 1) alone.push(await timeOf(runOne));
  // A hundred in one shell, so that neither the exec nor the loop counts.
  const loop = `i=0; while [ $i -lt 100 ]; do ${COMMAND[0]} -c '${COMMAND[2]}' > /dev/null; i=$((i+1)); done`;
  const bareMs = (await timeOf(() => fleet.exec(node.name, ['sh', '-c', loop], BOUND))) / 100;
  const endMs = clock.monotonicMs() + REFERENCE_MS;
  let done = 0;
  const worker = async (): Promise<void> => {
    while (clock.monotonicMs() < endMs) {
      await runOne();
      done += 1;
    }
  };
  const tookMs = await timeOf(() => Promise.all(Array.from({ length: REFERENCE_AT_ONCE }, worker)));
  return { perS: done / (tookMs / 1000), runMs: median(alone), bareMs };
}
