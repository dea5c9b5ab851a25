// Dry runs: the beginning of a change is carried out in a transaction that is taken back. So a dry run is refused for the
// very reasons for which the change would be, and no rule is written twice.
import type { Sql, Store } from './store.ts';

/** What `work` gives; nothing that it stored stays, and no operation that it began begins. */
export async function rehearse<T>(store: Store, work: (sql: Sql) => Promise<T>): Promise<T> {
  const back = new Error('a rehearsal is taken back');
  const outcome: { given?: { value: T } } = {};
  try {
    await store.transaction(async (sql) => {
      outcome.given = { value: await work(sql) };
      throw back;
    }, 'read committed');
  } catch (thrown) {
    if (thrown !== back || outcome.given === undefined) throw thrown;
  }
  if (outcome.given === undefined) throw new Error('a transaction that always throws cannot have ended');
  return outcome.given.value;
}
