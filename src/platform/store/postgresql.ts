// The distributed engine: a PostgreSQL server through a pool of sessions. Apart from PGlite because here a session can
// be lost at any time, and several controllers share the database.
import { createHash } from 'node:crypto';
import pg from 'pg';
import { toStoreFailure } from './failures.ts';
import type { Lender } from './make-store.ts';
import { parserOf, toText } from './values.ts';

export interface PostgresqlOptions {
  /** `postgresql://user@host:5432/database` */
  url: string;
  /** 10 unless told. */
  maxConnections?: number;
  /** Bound of a statement; a minute unless told. */
  timeoutMs?: number;
}

// OID 1009 is text[]: the parser of every array's outer form.
const parseTextArray = (pg.types.getTypeParser as (oid: number) => (text: string) => unknown[])(1009);

const types = { getTypeParser: (oid: number) => parserOf(oid, parseTextArray) };

/** Makes a pool. Connects at the first use, so a database that is away now is a `store.away` then. */
/** A prepared statement is known by its text. */
const nameOf = (text: string): string => createHash('sha1').update(text).digest('hex');

export function makePostgresqlLender(options: PostgresqlOptions): Lender {
  const timeoutMs = options.timeoutMs ?? 60_000;
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.maxConnections ?? 10,
    // Every wait has a bound: for a session, a statement, a row lock, and for our own code inside a transaction.
    connectionTimeoutMillis: Math.min(5_000, timeoutMs),
    statement_timeout: timeoutMs,
    lock_timeout: Math.min(20_000, timeoutMs),
    idle_in_transaction_session_timeout: timeoutMs,
    query_timeout: timeoutMs + Math.min(10_000, timeoutMs / 2),
    keepAlive: true,
    application_name: 'espalier',
    // Compiling a plan takes a third of a second, and PostgreSQL does so for what it only believes to be large.
    options: '-c TimeZone=UTC -c DateStyle=ISO -c jit=off',
    types: types as pg.CustomTypesConfig,
  });
  // A session that dies is replaced at the next use, or fails the statement that uses it; without listeners it would end
  // the process. The pool's own listener is for idle ones only.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return {
    engine: 'postgresql',
    async lend() {
      const client = await pool.connect().catch((error: unknown) => {
        throw toStoreFailure(error);
      });
      return {
        connection: {
          async query(text, values, options) {
            const name = options?.keepPlan === true ? { name: nameOf(text) } : {};
            const result = await client.query({ ...name, text, values: values.map(toText) });
            return result.rows as unknown[];
          },
          async script(text) {
            await client.query(text);
          },
        },
        release: (broken) => client.release(broken),
      };
    },
    close: () => pool.end(),
  };
}
