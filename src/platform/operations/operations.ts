// All operations of the controller: begins, shows, cancels them, and builds the driver that carries them on. The only
// file of this folder that main.ts needs.
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../../lib/clock.ts';
import { commonProblems } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { makeBell } from '../bell.ts';
import type { Events } from '../events.ts';
import { type Sql, type Store, toJsonValue } from '../store.ts';
import { appendStarted, subjectOf } from './announce.ts';
import { type Driver, type DriverOptions, makeDriver } from './driver.ts';
import { endStates, type OperationKind, type Operations } from './operation.ts';
import { operationProblems } from './problems.ts';
import { listOperations, readOperation, readOperationView } from './views.ts';

export interface OperationsOptions {
  store: Store;
  events: Events;
  clock: Clock;
  log: Logger;
  /** What differs from the defaults below. */
  driver?: Partial<Omit<DriverOptions, 'store' | 'events' | 'clock' | 'log'>>;
}

export interface DrivenOperations extends Operations {
  readonly driver: Driver;
  /** Deletes operations that ended longer ago than this, but for fatal ones that hold locks; returns how many. */
  trim(olderThanMs: number): Promise<number>;
}

const WAIT_POLL_MS = 1_000;

function makeDefaults(store: Store): Omit<DriverOptions, 'store' | 'events' | 'clock' | 'log'> {
  return {
    owner: `${process.pid}-${randomBytes(6).toString('hex')}`,
    // PGlite's data directory is locked to one process (store/data-dir-lock.ts).
    alone: store.engine === 'pglite',
    concurrency: 8,
    leaseMs: 30_000,
    pollMs: 1_000,
    limits: {
      pause: { firstMs: 250, mostMs: 15_000 },
      graceMs: 10_000,
      // With the pauses above: about five minutes.
      undoAttempts: 25,
      undoAttemptsForGood: 3,
      interruptions: 10,
    },
    random: Math.random,
  };
}

/** Ids grow with time, so that the newest sort last: nine letters of milliseconds (until the year 5188), four of chance. */
function makeIds(clock: Clock): () => string {
  let lastMs = 0;
  return () => {
    lastMs = Math.max(lastMs + 1, clock.nowMs());
    const chance = randomBytes(4).readUInt32BE() % 36 ** 4;
    return `o${lastMs.toString(36).padStart(9, '0')}${chance.toString(36).padStart(4, '0')}`;
  };
}

/** Makes the operations; register all kinds, then `driver.start()`. */
export function makeOperations(options: OperationsOptions): DrivenOperations {
  const { store, events, clock, log } = options;
  const kinds = new Map<string, OperationKind<unknown>>();
  const ended = makeBell(clock);
  const nextId = makeIds(clock);
  const driver = makeDriver({ store, events, clock, log, ...makeDefaults(store), ...options.driver }, kinds, ended);

  async function takeLocks(sql: Sql, id: string, locks: readonly string[]): Promise<void> {
    const taken = await sql.query<{ name: string }>(
      `insert into operation_lock (name, operation_id) select name, $2 from unnest($1::text[]) as name
       on conflict do nothing returning name`,
      [locks, id],
    );
    const lock = locks.find((name) => !taken.some((row) => row.name === name));
    if (lock === undefined) return;
    const [held] = await sql.query<{ holder: string; title: string; state: string }>(
      `select id as holder, title, state from operation
       where id = (select operation_id from operation_lock where name = $1)`,
      [lock],
    );
    throw operationProblems.make('locked', {
      lock,
      ...(held ?? { holder: '?', title: 'has just ended', state: 'ended' }),
    });
  }

  async function endFatal(id: string, by: string, kind: string, change: (sql: Sql) => Promise<void>): Promise<void> {
    await store.transaction(async (sql) => {
      const { state } = await readOperation(sql, id);
      if (state !== 'fatal') throw operationProblems.make('not-fatal', { id, state });
      await change(sql);
      await events.append(sql, { kind, subject: subjectOf(id), by });
      sql.afterCommit(driver.wake);
    });
  }

  return {
    driver,
    register(kind) {
      if (kinds.has(kind.kind)) throw new Error(`the operation ${kind.kind} is registered twice`);
      kinds.set(kind.kind, kind as OperationKind<unknown>);
    },

    async start(sql, kindName, params, { by, reason }) {
      const kind = kinds.get(kindName);
      if (kind === undefined) throw operationProblems.make('unknown-kind', { kind: kindName });
      const parsed = kind.params.safeParse(params);
      if (!parsed.success) {
        throw commonProblems.make('invalid-input', { where: kindName, why: z.prettifyError(parsed.error) });
      }
      const steps = kind.steps(parsed.data).map(({ name }) => name);
      if (new Set(steps).size !== steps.length) throw new Error(`${kindName} has two steps of the same name: ${steps}`);
      const id = nextId();
      // Sorted, so that two that want the same locks wait for one another and do not deadlock.
      const locks = [...new Set(kind.locks(parsed.data))].sort();
      await sql.query(
        `with started as (
           insert into operation (id, kind, title, state, params, locks, by, reason)
           values ($1, $2, $3, 'pending', $4, $5, $6, $7) returning id)
         insert into operation_step (operation_id, position, name, state)
         select started.id, step.ordinality - 1, step.name, 'pending'
         from started, unnest($8::text[]) with ordinality as step (name)`,
        [id, kindName, kind.title(parsed.data), toJsonValue(params), locks, by, reason, steps],
      );
      await takeLocks(sql, id, locks);
      const operation = await readOperation(sql, id);
      await appendStarted(sql, events, operation);
      sql.afterCommit(driver.wake);
      return operation;
    },

    wake: driver.wake,
    read: (id) => readOperationView(store, id),
    list: (filter = {}) => listOperations(store, filter),

    async wait(id, signal) {
      for (;;) {
        const since = ended.rings;
        const { state } = await readOperation(store, id);
        if (endStates.includes(state)) return await readOperationView(store, id);
        await ended.wait(since, WAIT_POLL_MS, signal);
      }
    },

    async cancel(id, by) {
      await store.transaction(async (sql) => {
        const [cancelled] = await sql.query(
          `update operation set cancelled_by = $2, wake_at = null
           where id = $1 and state in ('pending', 'running') and cancelled_by is null returning id`,
          [id, by],
        );
        if (cancelled === undefined) {
          const { state } = await readOperation(sql, id);
          if (endStates.includes(state)) throw operationProblems.make('ended', { id, state });
          return;
        }
        await events.append(sql, { kind: 'operation.cancel-asked', subject: subjectOf(id), by });
        sql.afterCommit(() => {
          driver.cancel(id, by);
          driver.wake();
        });
      }, 'read committed');
    },

    resume: (id, by) =>
      endFatal(id, by, 'operation.resumed', async (sql) => {
        await sql.query(`update operation set state = 'recovering', ended_at = null, wake_at = null where id = $1`, [
          id,
        ]);
        await sql.query('update operation_step set undo_attempts = 0, interruptions = 0 where operation_id = $1', [id]);
      }),

    release: (id, by) =>
      endFatal(id, by, 'operation.released', async (sql) => {
        await sql.query('delete from operation_lock where operation_id = $1', [id]);
        await sql.query(`update operation set state = 'failed' where id = $1`, [id]);
      }),

    async trim(olderThanMs) {
      const trimmed = await store.query(
        `delete from operation where ended_at < clock_timestamp() - $1 * interval '1 millisecond'
           and not exists (select from operation_lock where operation_id = operation.id) returning 1`,
        [olderThanMs],
      );
      return trimmed.length;
    },
  };
}
