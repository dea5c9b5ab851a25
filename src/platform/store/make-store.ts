// A Store over anything that lends connections: transactions, their retries and what follows a commit. Apart from the
// two engines so that both keep the same promises.
import type { Isolation, QueryOptions, Sql, Store } from '../store.ts';
import { isAway, isConflict, toStoreFailure } from './failures.ts';
import { storeProblems } from './problems.ts';

/** One database session. */
export interface Connection {
  query(text: string, values: readonly unknown[], options?: QueryOptions): Promise<unknown[]>;
  script(text: string): Promise<void>;
}

/** A session lent for one statement or one transaction. `broken` sessions are not lent again. */
export interface Loan {
  readonly connection: Connection;
  release(broken: boolean): void;
}

export interface Lender {
  readonly engine: Store['engine'];
  /** Bounded in time; throws `store.away` or `store.busy`. */
  lend(): Promise<Loan>;
  close(): Promise<void>;
}

// Ten tries with growing, scattered pauses end a meeting of a dozen writers; more would only hide a design fault.
const ATTEMPTS = 10;
const PAUSE_MS = 8;

export function makeStore(lender: Lender): Store {
  async function lendFor<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    const loan = await lender.lend();
    let broken = false;
    try {
      return await work(loan.connection);
    } catch (error) {
      broken = isAway(error);
      throw error;
    } finally {
      loan.release(broken);
    }
  }

  async function retryConflicts<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await work();
      } catch (error) {
        if (!isConflict(error)) throw toStoreFailure(error);
        if (attempt === ATTEMPTS) throw storeProblems.make('contended', { attempts: ATTEMPTS }, error);
        const pauseMs = Math.random() * PAUSE_MS * 2 ** Math.min(attempt, 5);
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  return {
    engine: lender.engine,
    query: (text, values = [], options) =>
      retryConflicts(() => lendFor((connection) => connection.query(text, values, options))) as Promise<never[]>,
    script: (text) => lendFor((connection) => connection.script(text)),
    beforeCommit: (work) => work(),
    afterCommit: (callback) => callback(),
    async transaction(work, isolation = 'serializable') {
      const { result, callbacks } = await retryConflicts(() =>
        lendFor((connection) => runTransaction(connection, work, isolation)),
      );
      for (const callback of callbacks) callback();
      return result;
    },
    close: () => lender.close(),
  };
}

/** begin, work, commit; rolls back whatever happens. A failed statement that `work` swallowed still fails the whole. */
async function runTransaction<T>(connection: Connection, work: (sql: Sql) => Promise<T>, isolation: Isolation) {
  const last: (() => Promise<void>)[] = [];
  const callbacks: (() => void)[] = [];
  let failure: { error: unknown } | undefined;
  let ended = false;
  async function guard<R>(run: () => Promise<R>): Promise<R> {
    if (ended) throw new Error('this transaction has ended: a query was not awaited, or its sql was kept');
    try {
      return await run();
    } catch (error) {
      failure ??= { error };
      throw error;
    }
  }
  const sql: Sql = {
    query: (text, values = [], options) => guard(() => connection.query(text, values, options)) as Promise<never[]>,
    script: (text) => guard(() => connection.script(text)),
    beforeCommit: async (act) => {
      last.push(act);
    },
    afterCommit: (callback) => callbacks.push(callback),
  };
  await connection.script(`begin isolation level ${isolation}`);
  try {
    const result = await work(sql);
    for (const act of last) await act();
    if (failure !== undefined) throw failure.error;
    ended = true;
    await connection.script('commit');
    return { result, callbacks };
  } catch (error) {
    ended = true;
    // The first failed statement is the cause; what `work` made of it may hide a conflict that is worth a retry.
    const cause = failure !== undefined && isConflict(failure.error) ? failure.error : error;
    if (!isAway(cause)) await connection.script('rollback');
    throw cause;
  }
}
