// What a store is: SQL over PGlite or PostgreSQL with one set of value rules, so that a room's SQL is
// written once. Only types and value helpers, so that everything may import it; open-store.ts opens one.

/** What a jsonb column holds. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** How a statement is run. */
export interface QueryOptions {
  /**
   * The session keeps its plan for the next time, made without a look at the values: for the few statements that run by the hundred a
   * second and whose plan is known beforehand. Its text must be one of few. PGlite makes nothing of it.
   */
  keepPlan?: boolean;
}

/**
 * Something that runs SQL with `$1` placeholders: the store itself or a transaction of it.
 *
 * Values in: null, string, number, boolean, bigint, Date (as timestamptz), Uint8Array (as bytea), an array (as an SQL
 * array), a plain object (as JSON). A jsonb value that may be an array or a string goes through `toJsonValue`.
 *
 * Values out, the same on both engines: timestamptz as an ISO 8601 string in UTC with the database's full precision
 * (`2026-11-21T08:55:55.123456Z`), date and interval and numeric as their text, bigint (and so `count(*)`) as number while it is safe and else as bigint,
 * json and jsonb parsed, bytea as Uint8Array, SQL arrays as arrays.
 */
export interface Sql {
  /** Runs one statement. Throws a retryable problem when the database is away, else the database's own error. */
  query<Row extends object>(text: string, values?: readonly unknown[], options?: QueryOptions): Promise<Row[]>;
  /** Runs a text of several statements without values (a migration), in one transaction when it is not in one. */
  script(text: string): Promise<void>;
  /** Runs `work` as the transaction's last act before its commit (at once outside a transaction), in the order of the calls. */
  beforeCommit(work: () => Promise<void>): Promise<void>;
  /** Calls `callback` once after the commit (at once outside a transaction), never after a rollback. It must not throw. */
  afterCommit(callback: () => void): void;
}

/**
 * How far a transaction is kept apart from others. `serializable` (the default) makes PostgreSQL behave as PGlite does,
 * where transactions come one after another; `read committed` is for hot paths that lock the rows they decide on.
 */
export type Isolation = 'serializable' | 'read committed';

/** The controller's state. */
export interface Store extends Sql {
  readonly engine: 'pglite' | 'postgresql';
  /**
   * Runs `work` in one transaction: committed when it resolves, rolled back when it throws. `work` uses the `sql` it is
   * given and nothing else of the store: on PGlite a `store.query` inside would wait for the transaction that waits for
   * it, until it fails with `store.busy`. After a serialization failure or deadlock `work` runs again (a bounded number
   * of times), so it must have no effect outside the database; what should follow goes into `sql.afterCommit`.
   * Throws `store.away` (retryable) when the connection is lost; the commit may then have happened.
   */
  transaction<T>(work: (sql: Sql) => Promise<T>, isolation?: Isolation): Promise<T>;
  /** Closes after what is under way has ended. */
  close(): Promise<void>;
}

/** A JSON value as a query parameter, on both engines also where it is an array, a string or null. */
export function toJsonValue(value: unknown): string {
  return JSON.stringify(value ?? null);
}

/** The name of the unique, foreign key or check constraint that a statement violated, or undefined for any other error. */
export function violatedConstraint(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null) return undefined;
  const { code, constraint } = thrown as { code?: unknown; constraint?: unknown };
  if (typeof code !== 'string' || !code.startsWith('23')) return undefined;
  return typeof constraint === 'string' ? constraint : '';
}
