// `server-loss`: rounds of random faults of one server of a lab, under load on all sites: what visitors notice, how soon its nodes
// and its tasks' runs are elsewhere, and whether a server that was fenced ever wrote.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Losing, makeLosing } from '../../test/cluster/losing.ts';
import { type Lab, openLab } from '../../test/cluster/open-lab.ts';
import { type Benchmark, type Measured, toRow } from '../bench.ts';
import { round } from '../statistics.ts';
import type { Met, VisitorsOrder } from './visitors.ts';

const LAB = 'esploss';
const ROUNDS = 20;
const QUICK_ROUNDS = 3;
/** Rounds that are not begun by then are left out, and the figure tells so. */
const MOST_MS = 1_200_000;
/** What breaks a server for good until it is mended; each is a verb of `espalier lab` with its options. */
const FAULTS: readonly (readonly string[])[] = [
  ['kill'],
  ['freeze'],
  ['cut'],
  ['cut', '--way', 'in'],
  ['cut', '--way', 'out'],
];
/** So many that the victim has a run of one of them in every round. */
const TASKS = [1, 2, 3, 4].map((number) => `wordpress/loss-probe-${number}`);
const TABLE = 'espalier_probes';
/** Most are under way when the fault comes, and a node that leaves need not wait for them for long. */
const RUN_S = 20;
const AGAIN_S = 120;
/** Sites answer with their whole address where it is missing. */
const EDGE_PORT = 8080;

interface Round {
  fault: string;
  anewS: number;
  runsAgainS: number;
  fencedWrites: number;
}

interface RunDocument {
  task: string;
  server: string | null;
  startedAt: string | null;
  endedAt: string | null;
}

export const serverLoss: Benchmark = {
  name: 'server-loss',
  needsPlace: false,
  async run(place, { quick }): Promise<Measured> {
    const rounds = quick ? QUICK_ROUNDS : ROUNDS;
    const lab = await openLab(LAB, 3, { bare: false });
    try {
      const losing = await makeLosing(lab);
      await addProbes(lab, losing);
      const visitors = await startVisitors(lab);
      const done: Round[] = [];
      const untilMs = performance.now() + MOST_MS;
      for (let number = 0; number < rounds && performance.now() < untilMs; number += 1) {
        const one = await runRound({ lab, losing }, FAULTS[Math.floor(Math.random() * FAULTS.length)] ?? ['kill']);
        done.push(one);
        place.say(
          `round ${number + 1} of ${rounds}, ${one.fault}: nodes anew after ${one.anewS.toFixed(1)} s, runs after ${one.runsAgainS.toFixed(1)} s`,
        );
      }
      const met = await visitors.stop();
      return report(done, met, await countOverlaps(losing));
    } finally {
      await lab.close();
    }
  },
};

async function espalier(lab: Lab, ...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await lab.exec('s1', ['./espalier', ...argv]);
  if (code !== 0) throw new Error(`espalier ${argv.join(' ')}: ${stderr}`);
  return stdout;
}

/** What a run does: it says again and again that it is at work. */
const PROBE = `
$d = json_decode(file_get_contents(getenv("ESPALIER_SITE_FILE")), true)["database"];
$c = new mysqli($d["host"], $d["user"], $d["password"], $d["name"], $d["port"]);
$who = bin2hex(random_bytes(8));
for ($i = 0; $i < ${RUN_S * 4}; $i++) {
  $c->query("INSERT INTO ${TABLE} (task, who) VALUES ('$argv[1]', '$who')");
  usleep(250000);
}`;

/** Tasks that are always under way, and tried again when they are lost. */
async function addProbes(lab: Lab, losing: Losing): Promise<void> {
  await losing.sql(
    `CREATE OR REPLACE TABLE ${TABLE} (task varchar(64), who varchar(64), at timestamp(6) DEFAULT current_timestamp(6))`,
  );
  const options = ['--every', '5s', '--class', 'urgent', '--when-lost', 'retry', '--retries', '5'];
  for (const task of TASKS) {
    await lab.exec('s1', ['./espalier', 'task', 'remove', task]);
    await espalier(lab, 'task', 'add', task, ...options, '--', 'php', '-r', PROBE, '--', task);
  }
}

/** The runs of the probes of late. */
async function readRuns(lab: Lab): Promise<RunDocument[]> {
  const pages = await Promise.all(TASKS.map((task) => espalier(lab, 'task', 'history', task, '--json')));
  return pages.flatMap((page) => (JSON.parse(page) as { items: RunDocument[] }).items);
}

async function startVisitors(lab: Lab): Promise<{ stop(): Promise<Met> }> {
  const pid = await lab.pidOf('s1');
  const { items } = JSON.parse(await espalier(lab, 'site', 'list', '--json')) as { items: { hosts: string[] }[] };
  const edges = JSON.parse(await espalier(lab, 'edge', 'list', '--json')) as { items: { address: string }[] };
  const order: VisitorsOrder = {
    origin: `http://${edges.items[0]?.address ?? ''}`,
    hosts: items.flatMap(({ hosts }) => hosts.slice(0, 1).map((host) => `${host}:${EDGE_PORT}`)),
    workersEach: 2,
  };
  const program = [process.execPath, join(import.meta.dirname, 'visitors.ts'), JSON.stringify(order)];
  const child = spawn('nsenter', [`--net=/proc/${pid}/ns/net`, '--', ...program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  return {
    async stop() {
      const lines = createInterface({ input: child.stdout });
      child.stdin.write('stop\n');
      const [line] = (await once(lines, 'line', { signal: AbortSignal.timeout(90_000) })) as [string];
      return JSON.parse(line) as Met;
    },
  };
}

async function runRound({ lab, losing }: { lab: Lab; losing: Losing }, how: readonly string[]): Promise<Round> {
  const untilWhole = () =>
    losing.until(
      'all is well',
      async () => {
        const [servers, nodes] = [await losing.servers(), await losing.nodes()];
        return servers.every(({ state }) => state === 'ready') && nodes.every(({ state }) => state === 'ready');
      },
      AGAIN_S,
    );
  await untilWhole();
  const victim = await losing.chooseVictim();
  const count = (await losing.nodes()).length;
  const writer = await losing.startWriter(victim);
  const wereRunning = (await readRuns(lab)).flatMap(({ server, task, startedAt, endedAt }) =>
    server === victim && startedAt !== null && endedAt === null ? [task] : [],
  );
  const [verb = '', ...options] = how;
  // The servers of a lab have this machine's clock.
  const brokenAt = new Date();
  const broken = await lab.run(verb, victim, ...options);
  if (broken.code !== 0) throw new Error(broken.stderr);
  const secondsUntil = (at: string): number => (Date.parse(at) - brokenAt.getTime()) / 1_000;
  let fencedAt = '';
  let anewS = Number.NaN;
  let runsAgainS = Number.NaN;
  await losing.until(
    'nodes and runs are elsewhere',
    async () => {
      if (fencedAt === '' && (await losing.state(victim)).isFenceUp) fencedAt = await losing.fencedSince(victim);
      const nodes = await losing.nodes();
      const areAnew =
        nodes.length === count && nodes.every(({ state, server }) => state === 'ready' && server !== victim);
      if (Number.isNaN(anewS) && areAnew) anewS = Math.max(...nodes.map(({ stateSince }) => secondsUntil(stateSince)));
      const begun = (await readRuns(lab)).filter(
        ({ server, startedAt }) => server !== victim && startedAt !== null && secondsUntil(startedAt) > 0,
      );
      const again = wereRunning.map((task) =>
        begun.filter((run) => run.task === task).map((run) => run.startedAt ?? ''),
      );
      const areAgain = again.every((times) => times.length > 0);
      if (Number.isNaN(runsAgainS) && areAgain && again.length > 0)
        runsAgainS = Math.max(...again.map((times) => secondsUntil(times.sort()[0] ?? '')));
      return fencedAt !== '' && !Number.isNaN(anewS) && areAgain;
    },
    AGAIN_S,
  );
  const mended = await lab.run('heal', victim);
  if (mended.code !== 0) throw new Error(mended.stderr);
  await untilWhole();
  const fencedWrites = await losing.writesSince(writer, fencedAt);
  return { fault: how.join(' '), anewS, runsAgainS, fencedWrites };
}

/** Pairs of runs of one task of which one was at work between the first and the last word of the other. */
async function countOverlaps(losing: Losing): Promise<number> {
  const spans = `SELECT task, who, min(at) AS began, max(at) AS ended FROM ${TABLE} GROUP BY task, who`;
  return Number(
    await losing.sql(
      `SELECT count(*) FROM (${spans}) AS a JOIN (${spans}) AS b
       ON a.task = b.task AND a.who < b.who AND a.began <= b.ended AND b.began <= a.ended`,
    ),
  );
}

function report(rounds: readonly Round[], met: Met, overlaps: number): Measured {
  const most = (of: (one: Round) => number) =>
    round(Math.max(0, ...rounds.map(of).filter((value) => !Number.isNaN(value))), 1);
  const figures = {
    failed_idempotent: met.failedIdempotent,
    failed_share: met.requests === 0 ? 0 : met.failed / met.requests,
    nodes_anew_s_max: most(({ anewS }) => anewS),
    runs_again_s_max: most(({ runsAgainS }) => runsAgainS),
    overlaps,
    fenced_writes: rounds.reduce((sum, { fencedWrites }) => sum + fencedWrites, 0),
    rounds: rounds.length,
  };
  return {
    figures,
    peers: { requests: met.requests, failed: met.failed },
    rows: [
      toRow(`idempotent requests that failed, of ${met.requests} in all`, figures.failed_idempotent, '', {
        is: '<=',
        value: 0,
      }),
      toRow('share of all requests that failed', figures.failed_share, '', { is: '<=', value: 0.001 }),
      toRow('until all nodes of the lost server served elsewhere, the longest', figures.nodes_anew_s_max, 's', {
        is: '<=',
        value: 30,
      }),
      toRow('until its task ran again, the longest', figures.runs_again_s_max, 's', { is: '<=', value: 25 }),
      toRow('runs of one task that overlapped', overlaps, '', { is: '<=', value: 0 }),
      toRow('rows that a fenced server wrote', figures.fenced_writes, '', { is: '<=', value: 0 }),
      toRow('rounds of random faults', figures.rounds, '', { is: '>=', value: ROUNDS }),
    ],
    details: [
      ...rounds.map(
        ({ fault, anewS, runsAgainS }) => `${fault}: nodes ${anewS.toFixed(1)} s, runs ${runsAgainS.toFixed(1)} s`,
      ),
      ...Object.entries(met.failures).map(([what, count]) => `${count} times: ${what}`),
    ],
  };
}
