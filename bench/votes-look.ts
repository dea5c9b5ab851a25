// What one look of the votes' loop takes with many pools, on both stores. Apart from `votes`, which needs a real deployment:
// `node bench/votes-look.ts` needs none, and prints the figures of the page on votes.

import { readMigrations } from '../src/platform/migrate.ts';
import type { Store } from '../src/platform/store.ts';
import { openPglite, openPostgresql } from '../src/platform/test-store.ts';
import { countVotes } from '../src/votes/count.ts';
import { keepVotes } from '../src/votes/history.ts';
import { toPolicy } from '../src/votes/policy.ts';
import { storePolicy } from '../src/votes/store.ts';
import { noteSamples } from '../src/votes/votes.ts';
import { makeDeployedWorld } from '../test/faults/world.ts';
import { startTestPostgres } from '../test/postgres/start.ts';
import { quantile, round } from './statistics.ts';

const POOLS = 50;
const NODES_EACH = 3;
const LOOKS = 120;
const HOUR_MS = 3_600_000;
const POLICY = {
  min: 1,
  max: 6,
  alerts: [
    { metric: 'busy-workers' as const, is: '>' as const, threshold: 8, forS: 60, vote: 'grow' as const },
    { metric: 'cpu' as const, is: '<' as const, threshold: 5, forS: 300, vote: 'shrink' as const },
  ],
};

/** Pools with nodes, policies and two weeks of hours. */
async function fill(store: Store, nowMs: number): Promise<void> {
  for (let index = 0; index < POOLS; index += 1) {
    const pool = `bench-${index}`;
    await store.query(
      `INSERT INTO pool (name, app, kind, image_number, wanted, max_sites, node_memory_mb, state) VALUES ($1, 'wordpress', 'shared', 1, $2, 9, 512, 'ready')`,
      [pool, NODES_EACH],
    );
    await store.query(
      `INSERT INTO node (name, pool, server, image_number, state, reason) SELECT $1 || '-' || n, $1, 'local', 1, 'ready', '' FROM generate_series(1, $2) AS n`,
      [pool, NODES_EACH],
    );
    await storePolicy(store, pool, toPolicy(POLICY, { name: pool, role: 'serving' }), NODES_EACH);
    await store.query(
      `INSERT INTO vote_hour SELECT $1, date_trunc('hour', $2::timestamptz) - n * interval '1 hour', 3 FROM generate_series(1, 360) AS n`,
      [pool, new Date(nowMs)],
    );
  }
}

/** Milliseconds of each look; figures come in before each. */
async function measureLooks(store: Store): Promise<number[]> {
  const world = await makeDeployedWorld({ store });
  try {
    let nowMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS + HOUR_MS / 2;
    const parts = { ...world.controller.rooms.parts.votes, at: () => new Date(nowMs) };
    await fill(store, nowMs);
    await keepVotes(store, parts.at());
    const took: number[] = [];
    for (let look = 0; look < LOOKS; look += 1) {
      nowMs += 1_000;
      const names = Array.from(
        { length: POOLS * NODES_EACH },
        (_, index) => `bench-${index % POOLS}-${1 + Math.floor(index / POOLS)}`,
      );
      const figures = { ageMs: 100, busyWorkers: 4, cpuPercent: 20 + (look % 7), missing: {} };
      await noteSamples(parts, { nodes: names.map((node) => ({ node, ...figures })), edges: [] });
      const startedMs = performance.now();
      await countVotes(parts, AbortSignal.timeout(30_000));
      took.push(performance.now() - startedMs);
    }
    const [rounds] = await store.query<{ count: number }>(
      `SELECT count(*) AS count FROM vote_round WHERE decision = 'stay'`,
    );
    if (rounds === undefined || rounds.count < POOLS) throw new Error('the looks kept no rounds');
    // The first ones compile.
    return took.slice(10);
  } finally {
    await world.close();
  }
}

function print(name: string, took: readonly number[]): void {
  const [middle, most] = [0.5, 0.99].map((share) => round(quantile([...took], share), 1));
  process.stdout.write(`${name.padEnd(11)} ${POOLS} pools: a look takes ${middle} ms, 99 of 100 within ${most} ms\n`);
}

const postgres = await startTestPostgres();
const engines = [await openPglite(await readMigrations()), await openPostgresql(postgres.url, await readMigrations())];
for (const { store, close } of engines) {
  print(store.engine, await measureLooks(store));
  await close();
}
await postgres.stop();
