// A process that works as one of the others, so that it can be killed and stopped: `node worker.ts JSON`. Says what it measured as
// one line of JSON each; ends when its standard input does.
import { appendFileSync } from 'node:fs';
import { makePeer } from '../peers/make-peer.ts';
import type { Job, PeerName } from './contestant.ts';
import type { Addresses } from './services.ts';

export interface WorkerOrder {
  peer: PeerName;
  addresses: Addresses;
  concurrency: number;
  batched: boolean;
  /** Ends by itself after so many jobs, and says how long they took. */
  until?: number;
  /** Where each job's beginning and end are written down. */
  diary?: string;
}

export interface WorkerReport {
  seconds: number;
  /** Of jobs with a time: how late each began, milliseconds. */
  lagsMs: number[];
  cpuS: number;
}

/** A line of a diary: what, which job, by which process, when (Unix time, milliseconds). */
export type DiaryLine = ['begin' | 'end', key: number, process: string, atMs: number];

const say = (value: unknown): boolean => process.stdout.write(`${JSON.stringify(value)}\n`);

async function run(order: WorkerOrder): Promise<void> {
  const peer = await makePeer(order.peer, order.addresses);
  const lagsMs: number[] = [];
  let ended = 0;
  let all = (): void => {};
  const done = new Promise<void>((resolve) => {
    all = resolve;
  });
  const note = (what: DiaryLine[0], key: number): void => {
    if (order.diary !== undefined)
      appendFileSync(order.diary, `${JSON.stringify([what, key, String(process.pid), Date.now()])}\n`);
  };
  async function handle(job: Job): Promise<void> {
    if (job.atMs !== undefined) lagsMs.push(Date.now() - job.atMs);
    note('begin', job.key);
    if (job.workMs !== undefined) {
      const workMs = job.workMs;
      // In slices, as work is: a process that stood still goes on where it was.
      for (let left = workMs; left > 0; left -= 100) await new Promise((wake) => setTimeout(wake, Math.min(100, left)));
    }
    note('end', job.key);
    ended += 1;
    if (ended === order.until) all();
  }
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const working = await peer.work(handle, order);
  say('working');
  process.stdin.on('end', () => process.exit(0)).resume();
  await done;
  await working.stop();
  const { user, system } = process.cpuUsage(cpu);
  say({ seconds: (performance.now() - startedMs) / 1000, lagsMs, cpuS: (user + system) / 1e6 } satisfies WorkerReport);
  await peer.close();
  process.exit(0);
}

await run(JSON.parse(process.argv[2] ?? '{}') as WorkerOrder);
