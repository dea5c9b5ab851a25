// (a) How many runs a second are burnt down, when all are there already and do nothing: what each system itself costs. And (e) what
// is left of that while somebody's transaction stays open.
import pg from 'pg';
import type { Store } from '../../src/platform/store.ts';
import { makePeer } from '../peers/make-peer.ts';
import { startChild } from './child.ts';
import type { PeerName } from './contestant.ts';
import { makeNoOpServers } from './no-op-servers.ts';
import { addServers, addSites, addTasks, makeOurs, openOurs } from './ours.ts';
import { type Addresses, makeDatabase, withClient } from './services.ts';
import type { WorkerOrder, WorkerReport } from './worker.ts';

/** As many tasks a site as the deployment of `scale` has; under the limit of runs that a site may have open. */
const TASKS_PER_SITE = 6;
const SERVERS = 8;
/** Jobs under way at once in the others' worker. */
const CONCURRENCY = 100;
const WORK_MS = 600_000;

/** Something that can be filled with runs and burnt down, again and again. */
export interface Burner {
  /** Its database; none for one that lives in the cache. */
  readonly url: string | undefined;
  /**
   * Fills and burns down; gives seconds of the latter. Throws when not every run ended once. `again`: as a queue in use is
   * filled, with whatever earlier turns of the same count left in the tables.
   */
  burn(count: number, again?: 'again'): Promise<number>;
  close(): Promise<void>;
}

export async function makeOurBurner(addresses: Addresses, most: number): Promise<Burner> {
  const url = await makeDatabase(addresses.postgres, 'ours_burndown');
  const store = await openOurs(url);
  const names = Array.from({ length: SERVERS }, (_, index) => `server-${index}`);
  await addServers(store, names);
  const sites = Math.ceil(most / TASKS_PER_SITE);
  await addSites(store, 0, sites);
  const started = new Set<number>();
  const servers = makeNoOpServers(names, 4_000, ({ id }) => started.add(id));
  const sequencer = makeOurs({ store, agents: servers.agents });
  return {
    url,
    async burn(count, again) {
      const dueAt = new Date();
      if (again === undefined) {
        await store.script('TRUNCATE run, run_next, run_history, task');
        await addTasks(store, { first: 0, count, sites, dueAt });
      } else await store.query('UPDATE task SET next_at = $1', [dueAt]);
      await sequencer.tick();
      await settleDown(url);
      started.clear();
      await servers.join(sequencer);
      const startedMs = performance.now();
      do {
        await sequencer.choose();
        await sequencer.idle();
      } while (started.size < count);
      const seconds = (performance.now() - startedMs) / 1000;
      servers.leave();
      await assertBurnt(store, count, dueAt);
      return seconds;
    },
    async close() {
      servers.leave();
      await store.close();
    },
  };
}

/** Every run is in the history once, by an epoch of its own, and nothing is left. */
async function assertBurnt(store: Store, count: number, since: Date): Promise<void> {
  const [row] = await store.query<{ kept: number; epochs: number; left: number; stale: number }>(
    `SELECT count(*) AS kept, count(DISTINCT epoch) AS epochs, (SELECT count(*) FROM run) AS left,
       (SELECT stale_ends FROM fleet_state) AS stale FROM run_history WHERE state = 'succeeded' AND due_at >= $1`,
    [since],
  );
  if (row?.kept !== count || row.epochs !== count || row.left !== 0 || row.stale !== 0)
    throw new Error(`of ${count} runs not each ended once: ${JSON.stringify(row)}`);
}

/** What autovacuum would have done had there been time, and no checkpoint left over from filling. */
async function settleDown(url: string): Promise<void> {
  await withClient(url, async (client) => {
    // pg-boss rebuilds indexes of its own accord, and such a rebuild waits for every transaction that is open.
    await client.query('VACUUM (ANALYZE, SKIP_LOCKED)');
    await client.query('CHECKPOINT');
  });
}

export async function makePeerBurner(name: PeerName, addresses: Addresses): Promise<Burner> {
  const peer = await makePeer(name, addresses);
  await peer.install();
  return {
    url: peer.url,
    async burn(count) {
      await peer.enqueue(Array.from({ length: count }, (_, key) => ({ key })));
      if (peer.url !== undefined) await settleDown(peer.url);
      const order: WorkerOrder = { peer: name, addresses, concurrency: CONCURRENCY, batched: true, until: count };
      const child = startChild('worker.ts', order);
      try {
        await child.next(60_000);
        const { seconds } = await child.next<WorkerReport>(WORK_MS);
        const left = await peer.countLeft();
        if (left !== 0) throw new Error(`${name} has ${left} of ${count} jobs left`);
        return seconds;
      } finally {
        await child.kill();
      }
    },
    close: () => peer.close(),
  };
}

/**
 * Runs a second of each before, and at the end of the time in which a transaction is held open in its database that may
 * still see everything. All burn in turns, so that the time is the same for all.
 */
export async function measureHeldOpen<Name>(
  burners: ReadonlyMap<Name, { burner: Burner; count: number }>,
  { holdMs, say }: { holdMs: number; say: (line: string) => void },
): Promise<Map<Name, { before: number; during: number }>> {
  const rates = new Map([...burners.keys()].map((name) => [name, [] as number[]]));
  const turn = async (): Promise<void> => {
    for (const [name, { burner, count }] of burners) rates.get(name)?.push(count / (await burner.burn(count, 'again')));
  };
  const take = (): Map<Name, number> =>
    new Map([...rates].map(([name, own]) => [name, middle(own.splice(0).slice(-LAST))]));
  for (const { burner, count } of burners.values()) await burner.burn(count);
  for (let turns = 0; turns < LAST; turns += 1) await turn();
  const before = take();
  const held: pg.Client[] = [];
  try {
    for (const { burner } of burners.values()) {
      const client = new pg.Client({ connectionString: burner.url });
      held.push(client);
      await client.connect();
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      await client.query('SELECT txid_current()');
    }
    const untilMs = performance.now() + holdMs;
    for (let turns = 0; turns < LAST || performance.now() < untilMs; turns += 1) {
      await turn();
      say(
        `turn ${turns + 1} with a transaction held open: ${[...rates].map(([name, own]) => `${String(name)} ${own.at(-1)?.toFixed(0)}`).join(', ')}`,
      );
    }
  } finally {
    for (const client of held) await client.end();
  }
  // At the end of the time it is worst.
  const during = take();
  return new Map(
    [...burners.keys()].map((name) => [
      name,
      { before: before.get(name) ?? Number.NaN, during: during.get(name) ?? Number.NaN },
    ]),
  );
}

/** Turns of which the median counts. */
const LAST = 3;

const middle = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
