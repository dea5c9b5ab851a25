// A small pool of connections to one MariaDB server that speaks in typed problems, bounds every statement in time and
// ends it when the caller's signal aborts. Apart from mariadb.ts, which only says what to run.
import { EventEmitter } from 'node:events';
import { createPool, type PoolConnection } from 'mariadb';
import type { Problem } from '../../lib/errors.ts';
import { untilAborted } from '../until-aborted.ts';
import { mariadbProblems } from './problems.ts';

export interface Login {
  host: string;
  port: number;
  user: string;
  password: string;
}

export interface StatementResult {
  rows: Record<string, unknown>[];
  /** Warnings the statement left; `IF NOT EXISTS` leaves one when the thing was there. */
  warnings: number;
}

/** How long a login may take (default 1 s; twice that for a free connection), and one call as a whole (default 15 s). */
export interface ConnectionBounds {
  connectMs?: number;
  statementMs?: number;
}

export type RunStatement = (sql: string) => Promise<StatementResult>;

export interface Connections {
  /** Lends one connection to `work`; at most `statementMs` for all of it. */
  use<T>(what: string, signal: AbortSignal | undefined, work: (run: RunStatement) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Connections at once: DDL is serialised in the server, so a few saturate it. */
const poolSize = 4;
/** A server on the same network answers within milliseconds; a second without is away. */
const defaultConnectMs = 1_000;
/** Bounds a call, waiting for a free connection included. */
const defaultStatementMs = 15_000;

export function makeConnections(login: Login, options: ConnectionBounds = {}): Connections {
  const { connectMs = defaultConnectMs, statementMs = defaultStatementMs } = options;
  const server = `${login.host}:${login.port}`;
  const pool = createPool({
    ...login,
    connectionLimit: poolSize,
    minimumIdle: 0,
    idleTimeout: 60,
    connectTimeout: connectMs,
    initializationTimeout: connectMs,
    acquireTimeout: connectMs * 2,
    insertIdAsNumber: true,
    bigIntAsNumber: true,
    // Another call's metadata lock must not hold this one longer than its bound.
    initSql: `SET SESSION lock_wait_timeout = ${Math.max(1, Math.floor(statementMs / 2000))}`,
    // Errors would otherwise carry the statement, and with it password hashes.
    logParam: false,
  });
  // Failed background connects are emitted too, and nobody listening would end the process; callers get their own error.
  if (pool instanceof EventEmitter) pool.on('error', () => {});

  async function lend(stop: AbortSignal): Promise<PoolConnection> {
    const pending = pool.getConnection();
    try {
      return await untilAborted(pending, stop);
    } catch (thrown) {
      // One that comes after the caller has gone is given back.
      pending.then((late) => late.release()).catch(() => {});
      throw thrown;
    }
  }

  return {
    async use(what, signal, work) {
      const bound = AbortSignal.timeout(statementMs);
      const stop = signal === undefined ? bound : AbortSignal.any([signal, bound]);
      stop.throwIfAborted();
      let connection: PoolConnection | undefined;
      const onAbort = () => connection?.destroy();
      stop.addEventListener('abort', onAbort, { once: true });
      try {
        connection = await lend(stop);
        const lent = connection;
        return await work(async (sql) => toResult(await lent.query<unknown>(sql)));
      } catch (thrown) {
        if (signal?.aborted) throw signal.reason;
        if (bound.aborted)
          throw mariadbProblems.make('busy', { server, why: `${what} took more than ${statementMs} ms` }, thrown);
        throw toMariadbProblem(server, what, thrown);
      } finally {
        stop.removeEventListener('abort', onAbort);
        if (!stop.aborted) await connection?.release();
        else connection?.destroy();
      }
    },
    close: () => pool.end(),
  };
}

const awayErrors = new Set([1053, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 45009, 45012, 45013, 45026, 45034, 45035]);
const busyErrors = new Set([1040, 1203, 1205, 1213, 1226]);

/** A driver's or server's error as a problem; errors of ours pass through. Numbers: the server's and the driver's error lists. */
export function toMariadbProblem(server: string, what: string, thrown: unknown): Problem {
  const error = toSqlError(thrown);
  if (error === undefined) {
    if (thrown instanceof Error && 'document' in thrown) return thrown as Problem;
    return mariadbProblems.make(
      'failed',
      { server, what, why: thrown instanceof Error ? thrown.message : 'it broke off' },
      thrown,
    );
  }
  const why = error.text;
  if (error.errno === 1045 || error.errno === 1130 || error.errno === 1698 || error.errno === 4151)
    return mariadbProblems.make('access-denied', { server }, thrown);
  if (error.errno === 1290) return mariadbProblems.make('read-only', { server }, thrown);
  if (error.errno === 1021 || error.errno === 1114 || /errno: 28\b/.test(why))
    return mariadbProblems.make('disk-full', { server }, thrown);
  if (busyErrors.has(error.errno)) return mariadbProblems.make('busy', { server, why }, thrown);
  if (awayErrors.has(error.errno) || error.errno < 0 || /^E[A-Z]+$/.test(error.code))
    return mariadbProblems.make('away', { server, why }, thrown);
  return mariadbProblems.make('failed', { server, what, why }, thrown);
}

interface SqlFailure {
  errno: number;
  code: string;
  text: string;
}

/** The pool wraps why it got no connection as the cause of its own timeout (45028). */
function toSqlError(thrown: unknown): SqlFailure | undefined {
  if (!(thrown instanceof Error) || !('errno' in thrown) || typeof thrown.errno !== 'number') return undefined;
  if (thrown.errno === 45028) {
    return (
      toSqlError(thrown.cause) ?? { errno: 1040, code: 'ER_GET_CONNECTION_TIMEOUT', text: 'all connections are in use' }
    );
  }
  const { sqlMessage, code } = thrown as { sqlMessage?: unknown; code?: unknown };
  const text = typeof sqlMessage === 'string' ? sqlMessage : thrown.message;
  return { errno: thrown.errno, code: typeof code === 'string' ? code : '', text: text.replace(/\.$/, '') };
}

function toResult(answer: unknown): StatementResult {
  if (Array.isArray(answer)) return { rows: answer as Record<string, unknown>[], warnings: 0 };
  const { warningStatus } = answer as { warningStatus?: number };
  return { rows: [], warnings: warningStatus ?? 0 };
}
