// The thread that kills runs whose leases are over. Apart because the main thread may be blocked, and a blocked event
// loop cannot kill. For an agent that is stopped as a whole there is the node's own switch: see lease-switch.ts.
import { Worker } from 'node:worker_threads';
import type { Logger } from '../../lib/log.ts';
import type { WatchedLease } from './lease-watch.ts';

export type WatcherMessage = { set: readonly WatchedLease[] } | { drop: number };

export interface Watcher {
  set(leases: readonly WatchedLease[]): void;
  drop(id: number): void;
  close(): Promise<void>;
}

/** Starts the thread, and another one should it fail. `onKilled` hears of each run that it killed, when there is time. */
export function startWatcher(parts: { onKilled: (id: number) => void; log: Logger }): Watcher {
  const { onKilled, log } = parts;
  const leases = new Map<number, WatchedLease>();
  let isClosing = false;
  let worker = start();

  function start(): Worker {
    const made = new Worker(new URL('./watcher-thread.ts', import.meta.url));
    made.on('message', (id: number) => onKilled(id));
    made.on('error', (error) => log.error({ err: error }, 'the thread that watches leases failed; it is started anew'));
    made.on('exit', () => {
      if (!isClosing) worker = start();
    });
    made.postMessage({ set: [...leases.values()] } satisfies WatcherMessage);
    return made;
  }

  return {
    set(more) {
      for (const lease of more) leases.set(lease.id, lease);
      worker.postMessage({ set: more } satisfies WatcherMessage);
    },
    drop(id) {
      if (leases.delete(id)) worker.postMessage({ drop: id } satisfies WatcherMessage);
    },
    async close() {
      isClosing = true;
      await worker.terminate();
    },
  };
}
