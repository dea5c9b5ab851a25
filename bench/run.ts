// Runs benchmarks: `node bench/run.ts NAME|all [--write]`. A table on standard error, one line of JSON as the last of
// standard output. `--write` (always with `all`) keeps the result under bench/results and in docs/benchmarks.md.
// ESPALIER_BENCH_DEPLOYMENT and ESPALIER_BENCH_PORT name another deployment than espbench on 18480.
// ESPALIER_BENCH_KEEP=1 leaves the deployment for the next benchmark, which then need not build it.
import { parseArgs } from 'node:util';
import { runCommand } from '../src/engines/command.ts';
import type { Benchmark, BenchOptions, Row } from './bench.ts';
import { edge } from './edge.ts';
import { heal } from './heal.ts';
import { readMachine } from './machine.ts';
import { type Result, storeResult } from './page.ts';
import { makePlace, type Place, PROJECT_DIR } from './place.ts';
import { roll } from './roll.ts';
import { sequencer } from './sequencer/sequencer.ts';
import { serverLoss } from './server-loss/server-loss.ts';
import { servers } from './servers/servers.ts';
import { serversScale } from './servers-scale/servers-scale.ts';
import { siteCreate } from './site-create.ts';
import { siteMove } from './site-move.ts';
import { siteMoveServers } from './site-move-servers.ts';
import { transfer } from './transfer.ts';
import { up } from './up.ts';
import { votes } from './votes.ts';
import { wave } from './wave/wave.ts';

/** In the order in which `all` runs them: the first leaves the deployment that the others use. */
const BENCHMARKS: readonly Benchmark[] = [
  up,
  siteCreate,
  edge,
  heal,
  roll,
  wave,
  siteMove,
  siteMoveServers,
  transfer,
  sequencer,
  votes,
  servers,
  serverLoss,
  serversScale,
];

async function runOne(place: Place, benchmark: Benchmark, options: BenchOptions): Promise<Result> {
  const machine = await readMachine();
  const { stdout } = await runCommand(['git', '-C', PROJECT_DIR, 'rev-parse', '--short', 'HEAD'], {
    timeoutMs: 10_000,
  });
  if (benchmark !== up && benchmark.needsPlace !== false) await place.ensureUp();
  const startedMs = place.clock.monotonicMs();
  const measured = await benchmark.run(place, options);
  return {
    bench: benchmark.name,
    ...measured,
    at: new Date(place.clock.nowMs()).toISOString(),
    seconds: (place.clock.monotonicMs() - startedMs) / 1000,
    commit: stdout.toString().trim(),
    machine,
  };
}

function renderTable(rows: readonly Row[]): string {
  const width = Math.max(...rows.map(({ what }) => what.length));
  return rows
    .map(({ what, measured, target, reached }) => {
      const verdict = reached === undefined ? '' : reached ? '✓' : '✗';
      return `${verdict.padEnd(1)} ${what.padEnd(width)}  ${measured.padStart(10)}  ${target ?? ''}\n`;
    })
    .join('');
}

async function run(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      write: { type: 'boolean' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
    },
  });
  const [name = ''] = positionals;
  const chosen = BENCHMARKS.filter((benchmark) => name === 'all' || benchmark.name === name);
  if (chosen.length === 0 || positionals.length > 1) {
    process.stderr.write(
      `usage: npm run -s bench -- ${[...BENCHMARKS.map((one) => one.name), 'all'].join('|')} [--write] [--quick] [--only PART]…\n`,
    );
    return 2;
  }
  const place = makePlace();
  const results: Result[] = [];
  try {
    for (const benchmark of chosen) {
      const result = await runOne(place, benchmark, values);
      results.push(result);
      process.stderr.write(`\n${benchmark.name}\n${renderTable(result.rows)}`);
      if (result.details.length > 0) process.stderr.write(`\n${result.details.join('\n')}\n\n`);
      if (values.write === true || name === 'all') await storeResult(result);
      if (name === 'all') printResult(result.bench, result);
    }
  } finally {
    if (process.env.ESPALIER_BENCH_KEEP !== '1') await place.destroy();
    await place.close();
  }
  const [only] = results;
  if (name !== 'all' && only !== undefined) printResult(only.bench, only);
  else {
    const join = (key: 'figures' | 'peers') => Object.fromEntries(results.map((result) => [result.bench, result[key]]));
    printResult('all', { figures: join('figures'), peers: join('peers') });
  }
  return 0;
}

function printResult(bench: string, { figures, peers }: { figures: object; peers: object }): void {
  process.stdout.write(`${JSON.stringify({ bench, figures, peers })}\n`);
}

process.exitCode = await run();
