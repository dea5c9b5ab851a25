// What a controller reaches the outside with, made mortal: once it has died nothing passes any more, as after `kill -9`.
// A transaction that was open then is rolled back; a call that was under way is done, and nobody hears of it.
import type { Sql, Store } from '../../src/platform/store.ts';

export interface Mortal {
  /** Nothing passes from now on. */
  die(): void;
  /** Resolves then. */
  readonly died: Promise<void>;
  /** Wraps an engine: its methods, and those of the objects that it holds. */
  wrap<T extends object>(name: string, engine: T): T;
  wrapStore(store: Store): Store;
}

/** What a call is about, as far as its first argument tells. */
function nameOf(argument: unknown): string {
  if (typeof argument === 'object' && argument !== null && 'name' in argument) return String(argument.name);
  return typeof argument === 'string' ? argument : '';
}

type Method = (...args: unknown[]) => unknown;

/** `onCall` hears of each call to an engine when it is done and not yet answered (`fleet.instances.create node-1`). */
export function makeMortal(onCall: (call: string) => void): Mortal {
  const death = Promise.withResolvers<void>();
  let dead = false;
  const assertAlive = () => {
    if (dead) throw new Error('this controller was killed');
  };
  const pass = async <T>(call: string | undefined, work: () => Promise<T>): Promise<T> => {
    assertAlive();
    const result = await work();
    if (call !== undefined && !dead) onCall(call);
    assertAlive();
    return result;
  };

  const wrapMethod =
    (call: string, owner: object, method: Method): Method =>
    (...args) => {
      assertAlive();
      const result = method.apply(owner, args);
      return result instanceof Promise ? pass(`${call} ${nameOf(args[0])}`, () => result) : result;
    };

  function wrap<T extends object>(name: string, engine: T): T {
    const entries = Object.entries(engine).map(([key, value]: [string, unknown]) => {
      const call = `${name}.${key}`;
      if (typeof value === 'function') return [key, wrapMethod(call, engine, value as Method)];
      return [key, typeof value === 'object' && value !== null ? wrap(call, value) : value];
    });
    return Object.fromEntries(entries) as T;
  }

  const wrapSql = (sql: Sql): Sql => ({
    query: (text, values) => pass(undefined, () => sql.query(text, values)) as Promise<never[]>,
    script: (text) => pass(undefined, () => sql.script(text)),
    beforeCommit: (work) => sql.beforeCommit(work),
    afterCommit: (callback) => sql.afterCommit(() => dead || callback()),
  });

  return {
    die() {
      dead = true;
      death.resolve();
    },
    died: death.promise,
    wrap,
    wrapStore: (store) => ({
      ...wrapSql(store),
      engine: store.engine,
      transaction: (work, isolation) =>
        pass(undefined, () =>
          store.transaction(async (sql) => {
            const result = await work(wrapSql(sql));
            assertAlive();
            return result;
          }, isolation),
        ),
      close: () => store.close(),
    }),
  };
}
