// The thread that kills runs whose leases are over. Apart because the main thread may be blocked, and a blocked event
// loop cannot kill. For an agent that is stopped as a whole there is the node's own switch: see lease-switch.ts.
import { Worker } from 'node:worker_threads';
import type { Logger } from '../../lib/log.ts';
import type { WatchedLease } from './lease-watch.ts';

export type WatcherMessage = { set: WatchedLease } | { drop: number };

export interface Watcher {
  set(lease: WatchedLease): void;
  drop(id: number): void;
  close(): Promise<void>;
}

/** Starts the thread. `onKilled` hears of each run that it killed, when the main thread has time. */
export function startWatcher(parts: { onKilled: (id: number) => void; log: Logger }): Watcher {
  const { onKilled, log } = parts;
  const worker = new Worker(new URL('./watcher-thread.ts', import.meta.url));
  worker.on('message', (id: number) => onKilled(id));
  // Without it leases end by the node's own switch only: rather stop, and be started anew.
  worker.on('error', (error) => {
    log.error({ err: error }, 'the thread that watches leases failed');
    process.exit(1);
  });
  const post = (message: WatcherMessage) => worker.postMessage(message);
  return {
    set: (lease) => post({ set: lease }),
    drop: (id) => post({ drop: id }),
    async close() {
      await worker.terminate();
    },
  };
}
