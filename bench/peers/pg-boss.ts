// pg-boss as a contestant. Batched: its workers fetch and complete whole arrays (`batchSize`), one after
// the other while they are full (`burstWhenBatchFull`); else one job at a time. It looks as often as it lets one ask for.
import type { Job, MakePeer } from '../sequencer/contestant.ts';
import { databaseUrl, makeDatabase, withClient } from '../sequencer/services.ts';
import { importPeer } from './load.ts';

interface Fetched {
  id: string;
  data: Job;
}
interface Boss {
  on(name: 'error', listener: () => void): void;
  start(): Promise<void>;
  stop(options?: object): Promise<void>;
  createQueue(name: string, options?: object): Promise<void>;
  insert(name: string, jobs: readonly object[]): Promise<unknown>;
  work(name: string, options: object, handler: (jobs: Fetched[]) => Promise<void>): Promise<string>;
}

const QUEUE = 'bench';
const BATCH = 1_000;

export const makePgBoss: MakePeer = async (addresses, database) => {
  const { PgBoss } = await importPeer<{ PgBoss: new (options: object) => Boss }>('pg-boss');
  const connectionString = databaseUrl(addresses.postgres, database);
  let started: Promise<Boss> | undefined;
  const open = async (): Promise<Boss> => {
    const boss = new PgBoss({ connectionString, max: 10 });
    boss.on('error', () => {});
    await boss.start();
    return boss;
  };
  const boss = () => {
    started ??= open();
    return started;
  };
  return {
    url: connectionString,
    async install() {
      await makeDatabase(addresses.postgres, database);
      await (await boss()).createQueue(QUEUE);
    },
    async enqueue(jobs) {
      const own = await boss();
      for (let from = 0; from < jobs.length; from += 10_000)
        await own.insert(
          QUEUE,
          jobs.slice(from, from + 10_000).map((job) => ({
            data: job,
            ...(job.atMs === undefined ? {} : { startAfter: new Date(job.atMs) }),
          })),
        );
    },
    async work(handle, { concurrency, batched }) {
      const own = await boss();
      if (!batched) {
        // Each of its workers has one job at a time.
        await own.work(QUEUE, { localConcurrency: concurrency, pollingIntervalSeconds: 0.5 }, async (jobs) => {
          for (const { data } of jobs) await handle(data);
        });
        return { stop: () => own.stop({ graceful: true }) };
      }
      const options = { batchSize: BATCH, localConcurrency: 4, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 };
      await own.work(QUEUE, options, async (jobs) => {
        for (const { data } of jobs) await handle(data);
      });
      return { stop: () => own.stop({ graceful: true }) };
    },
    countLeft: () =>
      withClient(connectionString, async (client) => {
        const { rows } = await client.query<{ n: number }>(
          `SELECT count(*)::int AS n FROM pgboss.job WHERE name = $1 AND state IN ('created', 'retry', 'active')`,
          [QUEUE],
        );
        return rows[0]?.n ?? 0;
      }),
    async close() {
      if (started !== undefined) await (await started).stop({ graceful: false }).catch(() => {});
    },
  };
};
