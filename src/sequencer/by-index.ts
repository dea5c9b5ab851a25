// Transactions of the hot paths. Apart because they forbid what the planner would do on its own: a queue's statistics are always of
// another hour (full tables that were empty, epochs that were all null), and one join that reads a whole table for a thousand rows
// costs as much as a thousand runs. Here every row is looked up by its index, whatever the statistics say.
import type { Sql, Store } from '../platform/store.ts';

const ONLY_LOOKS = [
  ...['seqscan', 'bitmapscan', 'hashjoin', 'mergejoin', 'sort'].map((what) => `SET LOCAL enable_${what} = off`),
  'SET LOCAL plan_cache_mode = force_generic_plan',
].join('; ');

/**
 * A read committed transaction that joins by index, with plans that each session makes once: they do not depend on statistics, so
 * nothing is lost by that. On PGlite tables are small, and it is spared all of it.
 */
export function transactByIndex<T>(store: Store, work: (sql: Sql) => Promise<T>): Promise<T> {
  return store.transaction(async (sql) => {
    if (store.engine === 'postgresql') await sql.script(ONLY_LOOKS);
    return work({ ...sql, query: (text, values) => sql.query(text, values, { keepPlan: true }) });
  }, 'read committed');
}

/**
 * Rows given as arrays, as an SQL expression for FROM: `arrays` with their types, `columns` their names. It has a column `waiting`
 * that always is `queued`: what is asked of a run's state is asked by comparing with that, as part of the join. Asked of `run` alone it
 * would have the planner believe that hardly any run is such, and go through all of them for each given row.
 */
export const renderGiven = (arrays: readonly string[], columns: string): string =>
  `(SELECT *, 'queued' AS waiting FROM unnest(${arrays.join(', ')}) AS row (${columns}) OFFSET 0)`;

/**
 * That a run of a given site is open, as its index has it. Spelled `open` the question could be answered by the index of the open
 * overlap keys too, read whole, and the other way round; see migration 0165.
 */
export const IS_OPEN_OF_SITE = 'run.open::int = 1';
