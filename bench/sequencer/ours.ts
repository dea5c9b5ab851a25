// Our sequencer as a contestant: the product's own code over a database of the benchmark's server, with sites and tasks by
// the ten thousand. What its servers do is given by whoever makes it.
import pino from 'pino';
import { makeSystemClock } from '../../src/lib/clock.ts';
import { makeEvents } from '../../src/platform/events.ts';
import { readMigrations, runMigrations } from '../../src/platform/migrate.ts';
import { openStore } from '../../src/platform/open-store.ts';
import type { Store } from '../../src/platform/store.ts';
import type { AgentPort } from '../../src/protocol/agent-port.ts';
import type { ServerLoad } from '../../src/protocol/contract.ts';
import { keepHistory } from '../../src/sequencer/history.ts';
import { makeSequencer, type Sequencer } from '../../src/sequencer/sequencer.ts';
import { DEFAULT_SETTINGS, type SequencerSettings } from '../../src/sequencer/settings.ts';
import { makeDatabaseTime } from '../../src/sequencer/time.ts';

export const POOL = 'main';

/** Opens a database and brings it to the product's schema. */
export async function openOurs(url: string): Promise<Store> {
  const store = await openStore({ url });
  await runMigrations(store, await readMigrations());
  const parts = { store, time: makeDatabaseTime(), settings: DEFAULT_SETTINGS };
  await keepHistory(parts);
  return store;
}

/** The room over that store. */
export function makeOurs(given: {
  store: Store;
  agents: AgentPort;
  settings?: Partial<SequencerSettings>;
  wake?: () => void;
}): Sequencer {
  const clock = makeSystemClock();
  return makeSequencer({
    ...{ store: given.store, agents: given.agents, clock, log: pino({ level: 'silent' }) },
    events: makeEvents({ store: given.store, clock }),
    time: makeDatabaseTime(),
    random: Math.random,
    settings: { ...DEFAULT_SETTINGS, ...given.settings },
    wake: given.wake ?? (() => {}),
  });
}

/** Servers with one ready node each. */
export async function addServers(store: Store, names: readonly string[]): Promise<void> {
  await store.query(
    `INSERT INTO pool (name, app, kind, image_number, wanted, max_sites, node_memory_mb, state)
     VALUES ($1, 'wordpress', 'shared', 1, $2, 1000000, 512, 'ready')`,
    [POOL, names.length],
  );
  await store.query(
    `INSERT INTO server (name, state, reason, address, version) SELECT name, 'ready', '', '', '' FROM unnest($1::text[]) AS name`,
    [[...names]],
  );
  await store.query(
    `INSERT INTO node (name, pool, server, address, image_number, state, reason)
     SELECT 'n-' || name, $2, name, name, 1, 'ready', '' FROM unnest($1::text[]) AS name`,
    [[...names], POOL],
  );
}

export const siteId = (index: number): string => `s${String(index).padStart(9, '0')}`;

export async function addSites(store: Store, first: number, count: number): Promise<void> {
  await store.query(
    `INSERT INTO site (id, name, app, pool, uid, state, reason, placement, title, admin_user, admin_email, config_version, settings, limits)
     SELECT 's' || lpad(n::text, 9, '0'), 'site-' || n, 'wordpress', $3, 20000 + n, 'ready', '', '', '', '', '', 0, '{}', '{}'
     FROM generate_series($1::int, $1::int + $2::int - 1) AS n`,
    [first, count, POOL],
  );
}

export interface Tasks {
  /** Task `n` belongs to site `n % sites + firstSite`. */
  first: number;
  count: number;
  sites: number;
  firstSite?: number;
  /** When all of them are due; null: by hand only. */
  dueAt: Date | null;
  everyS?: number;
  /** Spread over the interval by this many seconds each, as the product does by hash. */
  spread?: boolean;
  /** Each is due so much later than the one before it. */
  everyMs?: number;
  /** What the run does on our servers: `bench KEY MILLISECONDS`, the key being the task's number. */
  workMs?: number;
  /** What the product has learnt that a run takes. */
  costS?: number;
}

/** Tasks with the usual policies, as the product stores them. */
export async function addTasks(store: Store, tasks: Tasks): Promise<void> {
  await store.query(
    `INSERT INTO task (id, site, name, origin, command, every_s, offset_s, timeout_s, class, overlap_key, when_due_running, when_lost,
       missed, missed_cap, retry_limit, retry_first_s, retry_most_s, cost_s, next_at)
     SELECT 't' || lpad(n::text, 9, '0'), site, 'task-' || n, 'person', ARRAY['bench', n::text, $9::text], $6, CASE WHEN $7 THEN n % $6 ELSE 0 END, 600, 'normal',
       site || '/t' || lpad(n::text, 9, '0'), 'skip', 'retry', 'latest', 10, 2, 1, 10, $8,
       $5::timestamptz + make_interval(secs => CASE WHEN $7 THEN n % $6 ELSE (n - $1::int) * $10::float8 / 1000 END)
     FROM (SELECT n, 's' || lpad((n % $3::int + $4::int)::text, 9, '0') AS site FROM generate_series($1::int, $1::int + $2::int - 1) AS n) AS new`,
    [
      tasks.first,
      tasks.count,
      tasks.sites,
      tasks.firstSite ?? 0,
      tasks.dueAt,
      tasks.everyS ?? 86_400,
      tasks.spread === true,
      tasks.costS ?? 0.01,
      tasks.workMs ?? 0,
      tasks.everyMs ?? 0,
    ],
  );
  await store.query('ANALYZE task');
}

/** A server at rest. */
export const atRest: ServerLoad = {
  ...{ cores: 2, load1: 0, cpuPressure: 5, memoryPressure: 0, ioPressure: 0, memoryTotalBytes: 8e9 },
  ...{ memoryAvailableBytes: 4e9, diskTotalBytes: 1e11, diskFreeBytes: 5e10, clockMs: 0 },
};
