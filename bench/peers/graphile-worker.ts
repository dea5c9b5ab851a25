// graphile-worker as a contestant. Batched: its manual's chapter on performance (localQueue, completeJobBatchDelay).
import type { Job, MakePeer } from '../sequencer/contestant.ts';
import { databaseUrl, makeDatabase, withClient } from '../sequencer/services.ts';
import { load } from './load.ts';

interface Runner {
  stop(): Promise<void>;
}
interface GraphileWorker {
  runMigrations(options: object): Promise<void>;
  run(options: object): Promise<Runner>;
  Logger: new (factory: () => () => void) => object;
}

export const makeGraphileWorker: MakePeer = async (addresses, database) => {
  const { run, runMigrations, Logger } = load<GraphileWorker>('graphile-worker');
  const logger = new Logger(() => () => {});
  const connectionString = databaseUrl(addresses.postgres, database);
  return {
    url: connectionString,
    async install() {
      await makeDatabase(addresses.postgres, database);
      await runMigrations({ connectionString, preset: { worker: { logger } } });
    },
    enqueue: (jobs) =>
      withClient(connectionString, async (client) => {
        for (let from = 0; from < jobs.length; from += 10_000) {
          const specs = jobs.slice(from, from + 10_000).map((job) => ({
            identifier: 'bench',
            payload: job,
            ...(job.atMs === undefined ? {} : { runAt: new Date(job.atMs).toISOString() }),
          }));
          await client.query(
            `SELECT count(*) FROM graphile_worker.add_jobs(array(SELECT json_populate_record(null::graphile_worker.job_spec,
               json_build_object('identifier', one ->> 'identifier', 'payload', one -> 'payload', 'run_at', one ->> 'runAt'))
               FROM json_array_elements($1::json) AS one))`,
            [JSON.stringify(specs)],
          );
        }
      }),
    async work(handle, { concurrency, batched }) {
      const worker = batched ? { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } : {};
      const runner = await run({
        connectionString,
        concurrency,
        noHandleSignals: true,
        maxPoolSize: 10,
        taskList: { bench: (payload: unknown) => handle(payload as Job) },
        preset: { worker: { logger, ...worker } },
      });
      return { stop: () => runner.stop() };
    },
    countLeft: () =>
      withClient(connectionString, async (client) => {
        const { rows } = await client.query<{ n: number }>(
          'SELECT count(*)::int AS n FROM graphile_worker._private_jobs',
        );
        return rows[0]?.n ?? 0;
      }),
    close: async () => {},
  };
};
