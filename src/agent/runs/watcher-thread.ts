// The watcher's thread itself: takes leases from the main thread, looks when the next one ends, kills.
import { parentPort } from 'node:worker_threads';
import { makeSystemClock } from '../../lib/clock.ts';
import { killCgroup } from './cgroups.ts';
import { makeLeaseWatch } from './lease-watch.ts';
import type { WatcherMessage } from './watcher.ts';

const watch = makeLeaseWatch({
  clock: makeSystemClock(),
  kill: killCgroup,
  onKilled: (id) => parentPort?.postMessage(id),
});
let timer: NodeJS.Timeout | undefined;

function look(): void {
  clearTimeout(timer);
  const waitMs = watch.check();
  if (waitMs !== undefined) timer = setTimeout(look, waitMs);
}

parentPort?.on('message', (message: WatcherMessage) => {
  if ('set' in message) for (const lease of message.set) watch.set(lease);
  else watch.drop(message.drop);
  look();
});
