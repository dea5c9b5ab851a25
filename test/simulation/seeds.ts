// Runs a range of seeds and tells which failed: the tests' shards, the soak and a person's replay all do it so.
//   node test/simulation/seeds.ts FROM TO [--minutes N]    replay one failure: FROM = TO = the seed
import { parseArgs } from 'node:util';
import { readMigrations } from '../../src/platform/migrate.ts';
import type { Store } from '../../src/platform/store.ts';
import { openPglite } from '../../src/platform/test-store.ts';
import { runSeed, type Verdict } from './run-seed.ts';

/** Empties what a seed leaves behind. */
export async function emptyStore(store: Store): Promise<void> {
  await store.query(
    'TRUNCATE task, run, run_next, run_history, run_server, site_share, hostname, site, node, pool, server, event, alert RESTART IDENTITY CASCADE',
  );
  await store.query('UPDATE fleet_state SET brownout = 0, wish = 0, stale_ends = 0');
  await store.query(`SELECT setval('virtual_time', 0)`);
}

export interface Summary {
  seeds: number;
  runs: number;
  lost: number;
  skips: number;
  stale: number;
  failed: Verdict[];
}

/** Runs seeds one after another until the last or until `enough` says so. */
export async function runSeeds(
  seeds: Iterable<number>,
  enough: (summary: Summary) => boolean = () => false,
): Promise<Summary> {
  const engine = await openPglite(await readMigrations());
  const summary: Summary = { seeds: 0, runs: 0, lost: 0, skips: 0, stale: 0, failed: [] };
  try {
    for (const seed of seeds) {
      const verdict = await runSeed(engine.store, seed);
      await emptyStore(engine.store);
      summary.seeds += 1;
      for (const name of ['runs', 'lost', 'skips', 'stale'] as const) summary[name] += verdict[name];
      if (verdict.faults.length > 0) summary.failed.push(verdict);
      if (enough(summary)) break;
    }
  } finally {
    await engine.close();
  }
  return summary;
}

export function* countFrom(first: number, last: number): Generator<number> {
  for (let seed = first; seed <= last; seed += 1) yield seed;
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { minutes: { type: 'string' } } });
  const [first = 1, last = Number.MAX_SAFE_INTEGER] = positionals.map(Number);
  const untilMs =
    values.minutes === undefined ? Number.POSITIVE_INFINITY : Date.now() + Number(values.minutes) * 60_000;
  const { failed, ...counts } = await runSeeds(countFrom(first, last), () => Date.now() > untilMs);
  for (const { seed, faults } of failed)
    process.stdout.write(`seed ${seed}:\n${faults.map((fault) => `  ${fault}\n`).join('')}`);
  process.stdout.write(`${JSON.stringify({ ...counts, failed: failed.length })}\n`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}
