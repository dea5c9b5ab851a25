// BullMQ as a contestant, twice: on Redis (or Valkey), and on PostgreSQL with its own backend for that. It has no batches; many
// jobs at once in one process are its manual's way.
import type { Job, MakePeer } from '../sequencer/contestant.ts';
import { databaseUrl, makeDatabase } from '../sequencer/services.ts';
import { load } from './load.ts';

interface Queue {
  addBulk(jobs: readonly object[]): Promise<unknown>;
  getJobCounts(...types: string[]): Promise<Record<string, number>>;
  obliterate(options: object): Promise<void>;
  waitUntilReady(): Promise<unknown>;
  on(name: 'error', listener: () => void): void;
  close(): Promise<void>;
}
interface Worker {
  waitUntilReady(): Promise<unknown>;
  on(name: 'error', listener: () => void): void;
  close(): Promise<void>;
}
interface BullMq {
  Queue: new (name: string, options: object, connection?: unknown) => Queue;
  Worker: new (
    name: string,
    handler: (job: { data: Job }) => Promise<void>,
    options: object,
    connection?: unknown,
  ) => Worker;
  createPostgresBackend: unknown;
}

const QUEUE = 'bench';

const makeBullMqOn =
  (kind: 'cache' | 'postgres'): MakePeer =>
  async (addresses, database) => {
    const { Queue, Worker, createPostgresBackend } = load<BullMq>('bullmq');
    const onPostgres = kind === 'postgres';
    const connection = onPostgres
      ? { connectionString: databaseUrl(addresses.postgres, database), max: 10, migrate: true }
      : { host: '127.0.0.1', port: addresses.redisPort, maxRetriesPerRequest: null };
    const given = onPostgres ? [createPostgresBackend] : [];
    let queue: Queue | undefined;
    const open = () => {
      if (queue === undefined) {
        queue = new Queue(QUEUE, { connection }, ...given);
        queue.on('error', () => {});
      }
      return queue;
    };
    return {
      ...(onPostgres ? { url: databaseUrl(addresses.postgres, database) } : {}),
      async install() {
        if (onPostgres) await makeDatabase(addresses.postgres, database);
        await open().waitUntilReady();
        if (!onPostgres) await open().obliterate({ force: true });
      },
      async enqueue(jobs) {
        const own = open();
        for (let from = 0; from < jobs.length; from += 2_000)
          await own.addBulk(
            jobs.slice(from, from + 2_000).map((job) => ({
              name: 'bench',
              data: job,
              opts: job.atMs === undefined ? {} : { delay: Math.max(0, job.atMs - Date.now()) },
            })),
          );
      },
      async work(handle, { concurrency }) {
        const worker = new Worker(QUEUE, async ({ data }) => handle(data), { connection, concurrency }, ...given);
        worker.on('error', () => {});
        await worker.waitUntilReady();
        return { stop: () => worker.close() };
      },
      async countLeft() {
        const counts = await open().getJobCounts('waiting', 'active', 'delayed', 'prioritized');
        return Object.values(counts).reduce((sum, count) => sum + count, 0);
      },
      async close() {
        await queue?.close();
      },
    };
  };

export const makeBullMq = makeBullMqOn('cache');
export const makeBullMqPostgres = makeBullMqOn('postgres');
