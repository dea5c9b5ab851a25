// A whole deployment in the store of a test: sites, a pool, nodes, servers, tasks; controllers over the real SQL with a clock
// that the test moves. Apart from the tests because properties, simulation and soak live in the same world.
import pino from 'pino';
import { makeEvents } from '../../src/platform/events.ts';
import type { Store } from '../../src/platform/store.ts';
import type { TestClock } from '../../src/platform/test-clock.ts';
import type { AgentPort } from '../../src/protocol/agent-port.ts';
import { makeSequencer, type Sequencer } from '../../src/sequencer/sequencer.ts';
import { DEFAULT_SETTINGS, type SequencerSettings } from '../../src/sequencer/settings.ts';
import { insertTasks, type NewTaskRow } from '../../src/sequencer/task-store.ts';
import type { TimeSource } from '../../src/sequencer/time.ts';
import type { Chance } from './random.ts';

export const POOL = 'main';

/** `s` and nine digits, `t` and nine digits. */
export const siteId = (index: number): string => `s${String(index).padStart(9, '0')}`;
export const taskId = (index: number): string => `t${String(index).padStart(9, '0')}`;

/** Rows for servers with one node each, and sites. */
export async function fillStore(store: Store, servers: readonly string[], sites: number): Promise<void> {
  await store.transaction(async (sql) => {
    await sql.query(
      `INSERT INTO pool (name, app, kind, image_number, wanted, max_sites, node_memory_mb, state)
       VALUES ($1, 'wordpress', 'shared', 1, $2, 100000, 512, 'ready')`,
      [POOL, servers.length],
    );
    await sql.query(
      `INSERT INTO server (name, state, reason, address, version) SELECT name, 'ready', '', '', '' FROM unnest($1::text[]) AS name`,
      [[...servers]],
    );
    await sql.query(
      `INSERT INTO node (name, pool, server, address, image_number, state, reason)
       SELECT 'n-' || name, $2, name, name, 1, 'ready', '' FROM unnest($1::text[]) AS name`,
      [[...servers], POOL],
    );
    await sql.query(
      `INSERT INTO site (id, name, app, pool, uid, state, reason, placement, title, admin_user, admin_email, config_version, settings, limits)
       SELECT 's' || lpad(n::text, 9, '0'), 'site-' || n, 'wordpress', $2, 20000 + n, 'ready', '', '', '', '', '', 0, '{}', '{}'
       FROM generate_series(0, $1::int - 1) AS n`,
      [sites, POOL],
    );
  }, 'read committed');
}

/** A task with the usual policies, due every `everyS` from `nextAt` on. */
export function makeTaskRow(
  index: number,
  site: number,
  nextAt: Date | null,
  over: Partial<NewTaskRow> = {},
): NewTaskRow {
  const id = taskId(index);
  return {
    id,
    site: siteId(site),
    name: `task-${index}`,
    origin: 'person',
    command: ['true'],
    ...{
      everyS: 60,
      offsetS: 0,
      cron: null,
      zone: 'UTC',
      timeoutS: 600,
      class: 'normal',
      overlapKey: `${siteId(site)}/${id}`,
    },
    ...{
      whenDueRunning: 'skip',
      whenLost: 'retry',
      missed: 'latest',
      missedCap: 10,
      retryLimit: 2,
      retryFirstS: 2,
      retryMostS: 10,
      overdueAfterS: null,
    },
    ...{ cpuPercent: null, memoryMb: null, siteClosed: false, nextAt: nextAt?.toISOString() ?? null },
    ...over,
  };
}

export async function addTasks(store: Store, rows: readonly NewTaskRow[]): Promise<void> {
  await insertTasks(store, rows);
}

export const quiet = pino({ level: 'silent' });

/** A controller's sequencer over a store. `time` decides what the database's clock says. */
export function makeController(given: {
  store: Store;
  clock: TestClock;
  time: TimeSource;
  chance: Chance;
  agents: AgentPort;
  settings?: Partial<SequencerSettings>;
  wake?: () => void;
}): Sequencer {
  const { store, clock, time, chance, agents } = given;
  return makeSequencer({
    ...{ store, clock, time, agents, log: quiet },
    events: makeEvents({ store, clock }),
    random: () => chance.next(),
    settings: { ...DEFAULT_SETTINGS, ...given.settings },
    wake: given.wake ?? (() => {}),
  });
}

export interface HistoryRow {
  id: number | null;
  task: string;
  dueAt: string;
  ticks: number;
  state: string;
  attempt: number;
  epoch: number | null;
  why: string;
  endedAt: string;
  leasedAt: string | null;
}

export function readHistory(store: Store, task?: string): Promise<HistoryRow[]> {
  return store.query<HistoryRow>(
    `SELECT id, task, due_at AS "dueAt", ticks, state, attempt, epoch, why, ended_at AS "endedAt", leased_at AS "leasedAt"
     FROM run_history WHERE $1::text IS NULL OR task = $1 ORDER BY due_at, attempt, ended_at`,
    [task ?? null],
  );
}

export interface RunRow {
  id: number;
  task: string;
  dueAt: string;
  state: string;
  attempt: number;
  epoch: number | null;
  server: string | null;
  open: boolean;
}

export function readRuns(store: Store): Promise<RunRow[]> {
  return store.query<RunRow>(
    'SELECT id, task, due_at AS "dueAt", state, attempt, epoch, server, open FROM run ORDER BY id',
  );
}
