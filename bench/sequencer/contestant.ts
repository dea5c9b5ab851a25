// What the benchmark asks of each of the others: the same few things, each done as its own manual would have it. Ours is measured
// through its own interface, since its runs have sites, servers and leases.
import type { Addresses } from './services.ts';

export const PEERS = ['graphile-worker', 'pg-boss', 'bullmq', 'bullmq-postgres'] as const;
export type PeerName = (typeof PEERS)[number];

export interface Job {
  key: number;
  /** Unix time, milliseconds, from which on it may start; absent: now. */
  atMs?: number;
  /** For how long it works; absent: not at all. */
  workMs?: number;
}

export interface WorkOptions {
  /** Jobs under way at once. */
  concurrency: number;
  /** For throughput: batches as large as the manual's chapter on performance has them; else its defaults. */
  batched: boolean;
}

/** One of the others, over its own database (or the cache). */
export interface Peer {
  /** Its database; none for one that lives in the cache. */
  readonly url?: string;
  /** Makes its tables, empty. */
  install(): Promise<void>;
  /** Stores jobs, by its own way for many at once. */
  enqueue(jobs: readonly Job[]): Promise<void>;
  /** Works in this process until `stop`, which resolves when what has ended is stored. */
  work(handle: (job: Job) => Promise<void> | void, options: WorkOptions): Promise<{ stop(): Promise<void> }>;
  /** Jobs that have not ended. */
  countLeft(): Promise<number>;
  close(): Promise<void>;
}

export type MakePeer = (addresses: Addresses, database: string) => Promise<Peer>;
