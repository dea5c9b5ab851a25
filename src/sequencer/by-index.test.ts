// What the planner does with a queue whose table it takes for empty, since nothing in it lives while the statistics are made.
import assert from 'node:assert/strict';
import type { Store } from '../platform/store.ts';
import { withStores } from '../platform/test-store.ts';
import { IS_OPEN_OF_SITE } from './by-index.ts';

/** Runs that were and are gone: their versions and index entries stay until they are vacuumed. */
async function makeSeeminglyEmpty(store: Store): Promise<void> {
  await store.query(
    `INSERT INTO run (due_at, enqueued_at, not_before, turn, cost_s, uid, open, task, site, pool, overlap_key, kind, class, why)
     SELECT now(), now(), now(), now(), 1, 1000, true, 'task-' || n, 'site', 'pool', 'key-' || n, 'tick', 'normal', ''
     FROM generate_series(1, 2000) AS n`,
  );
  await store.query('DELETE FROM run');
  await store.script('ANALYZE run');
}

/** The name of each index in a plan, with what it is asked for: undefined when it is read whole. */
async function readPlan(store: Store, query: string): Promise<{ index: string; asked: string | undefined }[]> {
  interface Plan {
    'Index Name'?: string;
    'Index Cond'?: string;
    Plans?: Plan[];
  }
  const [row] = await store.query<{ 'QUERY PLAN': { Plan: Plan }[] | string }>(`EXPLAIN (FORMAT JSON) ${query}`);
  const found = row?.['QUERY PLAN'] ?? [];
  const [{ Plan: top }] = (typeof found === 'string' ? JSON.parse(found) : found) as [{ Plan: Plan }];
  const walk = (plan: Plan): { index: string; asked: string | undefined }[] => [
    ...(plan['Index Name'] === undefined ? [] : [{ index: plan['Index Name'], asked: plan['Index Cond'] }]),
    ...(plan.Plans ?? []).flatMap(walk),
  ];
  return walk(top);
}

withStores((test) => {
  test('an overlap key is looked up by its own index, also where the table of runs seems to be empty', async ({
    store,
  }) => {
    await makeSeeminglyEmpty(store);
    assert.deepEqual(await readPlan(store, `SELECT id FROM run WHERE overlap_key = 'key-1' AND open`), [
      { index: 'run_overlap', asked: `(overlap_key = 'key-1'::text)` },
    ]);
  });

  test("a site's open runs are looked up by the site, also where the table of runs seems to be empty", async ({
    store,
  }) => {
    await makeSeeminglyEmpty(store);
    assert.deepEqual(await readPlan(store, `SELECT count(*) FROM run WHERE site = 'site' AND ${IS_OPEN_OF_SITE}`), [
      { index: 'run_open_of_site', asked: `(site = 'site'::text)` },
    ]);
  });
});
