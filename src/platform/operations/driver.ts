// Drives operations: takes free ones, bounds how many run at once, stores what they report, and stops in order. With
// PostgreSQL several controllers do this on the same tables; a lease by the database's clock keeps them apart.
import type { Clock } from '../../lib/clock.ts';
import { Problem, toProblem } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { type Bell, makeBell } from '../bell.ts';
import type { Events } from '../events.ts';
import type { Store } from '../store.ts';
import { appendChanges, appendSaid, takeSnapshot } from './announce.ts';
import { cancelHand, type Hand, keepLeases, loseHand } from './lease.ts';
import { endStates, type OperationKind, type Step } from './operation.ts';
import { operationProblems } from './problems.ts';
import { claimOperations, freeAll, type OperationRecord, saveOperation } from './records.ts';
import { type FaultPoint, type Run, runOperation } from './run-operation.ts';
import type { RunLimits } from './settle.ts';

export interface DriverOptions {
  store: Store;
  events: Events;
  clock: Clock;
  log: Logger;
  /** This controller, unlike every other one and every earlier start of itself. */
  owner: string;
  /** True when no other controller can be at work on this store: what others held is taken over at once. */
  alone: boolean;
  /** How many operations run at once; those that pause for an engine, are urgent or begun by others do not count. */
  concurrency: number;
  /** How long others wait before they take over from a controller that is silent. */
  leaseMs: number;
  /** How soon work is seen that another controller stored. */
  pollMs: number;
  limits: RunLimits;
  random: () => number;
  /** For tests; may kill the process or throw, which fails the step. */
  fault?: (point: FaultPoint) => void | Promise<void>;
}

export interface Driver {
  /** Resolves when it is at work. Once. */
  start(): Promise<void>;
  /** Aborts the steps under way and resolves when all operations are free for the next controller. */
  stop(): Promise<void>;
  /** How many operations run at once from now on. */
  setConcurrency(count: number): void;
  /** As if the process had been killed: nothing more is written. For tests. */
  abandon(): void;
}

const SAVE_PAUSE_MS = 500;

export function makeDriver(
  options: DriverOptions,
  kinds: ReadonlyMap<string, OperationKind<unknown>>,
  ended: Bell,
): Driver & { wake(): void; cancel(id: string, by: string): void } {
  const { store, events, clock, log, owner, leaseMs } = options;
  const hands = new Map<string, Hand>();
  const work = makeBell(clock);
  const stopping = new AbortController();
  let { concurrency } = options;
  const atWork = new Set<Promise<void>>();

  const keepAtWork = (promise: Promise<void>) => {
    const end = promise.finally(() => atWork.delete(end));
    atWork.add(end);
  };

  async function takeWork(): Promise<void> {
    while (!stopping.signal.aborted) {
      const since = work.rings;
      await claim().catch((error: unknown) =>
        log.warn({ problem: toProblem(error).document }, 'cannot look for operations'),
      );
      await work.wait(since, options.pollMs, stopping.signal).catch(() => {});
    }
  }

  async function claim(): Promise<void> {
    const busy = [...hands.values()].filter(({ record }) => !record.isBeside).length;
    const limit = Math.max(0, concurrency - busy);
    const leaseUntilMs = clock.monotonicMs() + leaseMs;
    const records = await claimOperations(store, {
      owner,
      leaseMs,
      limit,
      kinds: [...kinds.keys()],
      urgent: [...kinds.values()].filter(({ urgent }) => urgent).map(({ kind }) => kind),
      except: [...hands.keys()],
    });
    for (const record of records) {
      const hand = { record, cancel: new AbortController(), abandon: new AbortController(), lost: false, leaseUntilMs };
      hands.set(record.id, hand);
      if (stopping.signal.aborted) hand.abandon.abort();
      keepAtWork(drive(hand));
    }
  }

  async function drive(hand: Hand): Promise<void> {
    const { record } = hand;
    try {
      const run = makeRun(hand);
      const steps = buildSteps(record, kinds);
      if (steps instanceof Problem) {
        Object.assign(record, {
          state: 'fatal',
          problem: steps.document,
          waiting: null,
        } satisfies Partial<OperationRecord>);
        await run.save([], undefined, 'keep');
      } else await runOperation({ ...run, steps });
    } catch (error) {
      if (hand.lost) log.warn({ operation: record.id }, 'left an operation to whoever takes it next');
      else
        log.error(
          { operation: record.id, problem: toProblem(error).document },
          'let go of an operation until its lease ends',
        );
    } finally {
      hands.delete(record.id);
      work.ring();
    }
  }

  function makeRun(hand: Hand): Omit<Run, 'steps'> {
    const { record } = hand;
    let before = takeSnapshot(record);
    return {
      record,
      clock,
      limits: options.limits,
      cancel: hand.cancel.signal,
      abandon: hand.abandon.signal,
      random: options.random,
      fault: async (point) => options.fault?.(point),
      send(step, lines) {
        if (hand.lost) return;
        appendSaid(store, events, record.id, { step, lines }).catch((error: unknown) =>
          log.warn({ operation: record.id, problem: toProblem(error).document }, 'lost some lines of progress'),
        );
      },
      async save(steps, said, disposal) {
        const saved = await persist(hand, () =>
          store.transaction(async (sql) => {
            const stored = await saveOperation(sql, owner, record, steps, disposal);
            if (stored === undefined) return undefined;
            if (said !== undefined) await appendSaid(sql, events, record.id, said);
            await appendChanges(sql, events, before, record);
            return stored;
          }, 'read committed'),
        );
        before = takeSnapshot(record);
        if (saved.cancelledBy !== null) cancelHand(hand, saved.cancelledBy);
        if (endStates.includes(record.state)) ended.ring();
        if (disposal !== 'keep') clock.wait(disposal.pauseMs, stopping.signal).then(work.ring, () => {});
      },
    };
  }

  /** Stores what happened, as long as it takes: what a step did must not be forgotten for an outage shorter than the lease. */
  async function persist<T>(hand: Hand, save: () => Promise<T | undefined>): Promise<T> {
    for (;;) {
      if (hand.lost) throw new Error('the lease was lost before the progress could be stored');
      try {
        const saved = await save();
        if (saved !== undefined) return saved;
        loseHand(hand);
      } catch (error) {
        if (!(error instanceof Problem && error.retryable)) throw error;
        log.warn(
          { operation: hand.record.id, problem: error.document },
          'cannot store the progress of an operation yet',
        );
        await clock.wait(SAVE_PAUSE_MS);
      }
    }
  }

  return {
    async start() {
      if (options.alone) await freeAll(store);
      keepAtWork(takeWork());
      keepAtWork(keepLeases(hands, { store, clock, log, owner, leaseMs }, stopping.signal));
    },
    async stop() {
      stopping.abort();
      for (const hand of hands.values()) hand.abandon.abort();
      while (atWork.size > 0) await Promise.all(atWork);
    },
    setConcurrency(count) {
      concurrency = count;
    },
    abandon() {
      stopping.abort();
      for (const hand of hands.values()) loseHand(hand);
    },
    wake: () => work.ring(),
    cancel(id, by) {
      const hand = hands.get(id);
      if (hand !== undefined) cancelHand(hand, by);
    },
  };
}

/** The steps of a stored operation by this program's code, or why they are not the ones that it was begun with. */
function buildSteps(record: OperationRecord, kinds: ReadonlyMap<string, OperationKind<unknown>>): Step[] | Problem {
  const kind = kinds.get(record.kind);
  if (kind === undefined) return operationProblems.make('unknown-kind', { kind: record.kind });
  const params = kind.params.safeParse(record.params);
  if (!params.success)
    return operationProblems.make('cannot-resume', { why: 'its parameters are no longer valid' }, params.error);
  const steps = kind.steps(params.data);
  const [was, is] = [record.steps.map(({ name }) => name).join(', '), steps.map(({ name }) => name).join(', ')];
  return was === is
    ? steps
    : operationProblems.make('cannot-resume', { why: `its steps were ${was}; now they are ${is}` });
}
