// Does a transaction's work and takes it back: what it would refuse is refused, and nothing is kept.
import type { Sql, Store } from '../../platform/store.ts';

/** Gives what the work gave. */
export async function rehearse<T>(store: Store, work: (sql: Sql) => Promise<T>): Promise<T> {
  const end = new Error('a rehearsal');
  let result: { value: T } | undefined;
  await store
    .transaction(async (sql) => {
      result = { value: await work(sql) };
      throw end;
    }, 'read committed')
    .catch((thrown: unknown) => {
      if (thrown !== end) throw thrown;
    });
  if (result === undefined) throw end;
  return result.value;
}
