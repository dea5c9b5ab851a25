// The SQL of the votes on both engines: samples come in any order and of anybody, rounds are kept and read page by page.
import assert from 'node:assert/strict';
import { type Store, toJsonValue } from '../platform/store.ts';
import { withStores } from '../platform/test-store.ts';
import { type Round, runRound } from './decide.ts';
import { keepVotes } from './history.ts';
import {
  listHours,
  listPolicies,
  listPoolSamples,
  listRounds,
  listSamples,
  readPolicy,
  storeEdgeSample,
  storeNodeSamples,
  storePause,
  storePolicy,
  storeRounds,
  storeSiteNumber,
} from './store.ts';
import { busy, makePolicy, makeSituation, NOW_MS } from './test-policy.ts';

const AT = new Date(NOW_MS);
const later = (seconds: number) => new Date(NOW_MS + seconds * 1_000);

async function fill(store: Store): Promise<void> {
  for (const pool of ['web', 'other'])
    await store.query(
      `INSERT INTO pool (name, app, kind, image_number, wanted, max_sites, node_memory_mb, state) VALUES ($1, 'a', 'shared', 1, 2, 9, 512, 'ready')`,
      [pool],
    );
  for (const [node, pool] of [
    ['n1', 'web'],
    ['n2', 'web'],
    ['x1', 'other'],
  ])
    await store.query(`INSERT INTO node (name, pool, image_number, state, reason) VALUES ($1, $2, 1, 'ready', '')`, [
      node,
      pool,
    ]);
  await storePolicy(store, 'web', makePolicy(), 2);
}

const edge = (requests: number, current = 0) => ({
  ...{ edge: 'e1', ageMs: 0 },
  pools: [
    {
      pool: 'web',
      requests,
      current,
      queued: 0,
      servers: [{ node: 'n1', requests, requestsPerS: 4, current, queued: 0, responseTimeMs: 50 }],
    },
  ],
});

withStores((test) => {
  test('samples are kept only of pools with a policy and of nodes that are known, and an older one changes nothing', async ({
    store,
  }) => {
    await fill(store);
    const told = (busyWorkers: number, ageMs: number) =>
      ['n1', 'x1', 'gone'].map((node) => ({ node, ageMs, busyWorkers, missing: {} }));
    await storeNodeSamples(store, told(5, 0), AT);
    await storeNodeSamples(store, told(9, 3_000), later(1));
    await storeNodeSamples(store, [], AT);
    await storeEdgeSample(store, edge(1), AT);
    const samples = await listSamples(store, ['web']);
    assert.deepEqual(
      samples.map(({ node, source, figures }) => [node, source, figures.busyWorkers ?? figures.requestsPerS]),
      [
        ['n1', 'agent', 5],
        ['n1', 'edge:e1', 4],
      ],
    );
    assert.equal(Date.parse(samples[0]?.takenAt ?? ''), NOW_MS);
    assert.deepEqual(await listSamples(store, ['other']), []);
  });

  test('a visit is a count that moved or a request under way, not a look at the count', async ({ store }) => {
    await fill(store);
    const visited = async () =>
      (Date.parse((await listPoolSamples(store, ['web']))[0]?.visitedAt ?? '') - NOW_MS) / 1_000;
    await storeEdgeSample(store, edge(7), AT);
    await storeEdgeSample(store, edge(7), later(10));
    assert.equal(await visited(), 0);
    await storeEdgeSample(store, edge(8), later(20));
    assert.equal(await visited(), 20);
    await storeEdgeSample(store, edge(8, 1), later(30));
    assert.equal(await visited(), 30);
    // HAProxy was loaded anew.
    await storeEdgeSample(store, edge(0), later(40));
    assert.equal(await visited(), 40);
  });

  test('a round is kept whole, with what its hour needed, and read newest first', async ({ store }) => {
    await fill(store);
    await keepVotes(store, AT);
    const row = await readPolicy(store, 'web', AT);
    assert.ok(row);
    const rounds: Round[] = [];
    for (const [index, load] of [9, 12, 3].entries()) {
      const at = later(index * 10);
      const round = runRound(
        row.policy,
        makeSituation({
          nowMs: at.getTime(),
          nodes: busy(load, load).map((node) => ({
            ...node,
            sample: { takenAtMs: at.getTime(), values: node.sample?.values ?? {} },
          })),
        }),
        rounds.at(-1),
      );
      rounds.push(round);
      const { pool, version } = row;
      const cast = { pool, version, round, keep: index !== 1, wanted: 2, resized: index === 0, operation: null };
      await storeRounds(store, [cast], at);
    }
    const kept = await listRounds(store, { pool: 'web', before: undefined, limit: 10 });
    assert.deepEqual(
      kept.map(({ at, votes }) => [Date.parse(at), votes[0]?.alerts[0]?.value]),
      [
        [NOW_MS + 20_000, 3],
        [NOW_MS, 9],
      ],
    );
    assert.equal((await listRounds(store, { pool: 'web', before: kept[0]?.at, limit: 10 })).length, 1);
    assert.deepEqual(await listHours(store, ['web', 'other'], NOW_MS), new Map([['web', new Map([[NOW_MS, 3]])]]));
    const now = await readPolicy(store, 'web', AT);
    assert.deepEqual(now?.round, JSON.parse(toJsonValue(rounds.at(-1))));
    assert.equal(Date.parse(now?.resizedAt ?? ''), NOW_MS);
  });

  test('a new policy counts up its version, and goes with its pool', async ({ store }) => {
    await fill(store);
    await storePolicy(store, 'web', makePolicy({ max: 9 }), 2);
    assert.equal(await storePause(store, 'web', 'ann', null), true);
    assert.equal(await storePause(store, 'none', 'ann', null), false);
    await storeSiteNumber(store, 'web', { value: 4.5, problem: null }, AT);
    await storeSiteNumber(store, 'web', { value: null, problem: 'it answers 500' }, later(60));
    const [row] = await listPolicies(store, AT);
    assert.deepEqual(
      [row?.version, row?.policy.max, row?.pausedBy, row?.siteNumber, row?.siteNumberProblem],
      [2, 9, 'ann', null, 'it answers 500'],
    );
    await store.query(`DELETE FROM node`);
    await store.query(`DELETE FROM pool`);
    assert.deepEqual(await listPolicies(store, AT), []);
  });
});
