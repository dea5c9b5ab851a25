// (b) Many tasks due at one moment: how late each begins. Ours with its own loops; the others by the way that each has for work at a
// given time.
import pino from 'pino';
import { makeSystemClock } from '../../src/lib/clock.ts';
import { makeLoops } from '../../src/platform/loops.ts';
import { CHOOSE_LOOP, makeSequencerLoops } from '../../src/sequencer/loops.ts';
import { makePeer } from '../peers/make-peer.ts';
import { quantile } from '../statistics.ts';
import { startChild } from './child.ts';
import type { PeerName } from './contestant.ts';
import { makeNoOpServers } from './no-op-servers.ts';
import { addServers, addSites, addTasks, makeOurs, openOurs } from './ours.ts';
import { type Addresses, makeDatabase } from './services.ts';
import type { WorkerOrder, WorkerReport } from './worker.ts';

const CONCURRENCY = 100;
const TASKS_PER_SITE = 6;
/** From the order to the moment: the others store their jobs meanwhile, and all is quiet again. */
const LEAD_MS = 5_000;
const BOUND_MS = 120_000;

/** The 99th percentile of the lags, seconds. */
export async function measureOurBurst(addresses: Addresses, count: number): Promise<number> {
  const store = await openOurs(await makeDatabase(addresses.postgres, 'ours_burst'));
  const clock = makeSystemClock();
  const loops = makeLoops({ clock, log: pino({ level: 'silent' }) });
  const names = Array.from({ length: 8 }, (_, index) => `server-${index}`);
  await addServers(store, names);
  const sites = Math.ceil(count / TASKS_PER_SITE);
  await addSites(store, 0, sites);
  const lagsMs: number[] = [];
  let all = (): void => {};
  const done = new Promise<void>((resolve) => {
    all = resolve;
  });
  const dueMs = Date.now() + LEAD_MS;
  const servers = makeNoOpServers(names, 4_000, () => {
    lagsMs.push(Date.now() - dueMs);
    if (lagsMs.length === count) all();
  });
  const sequencer = makeOurs({ store, agents: servers.agents, wake: () => loops.wake(CHOOSE_LOOP) });
  await addTasks(store, { first: 0, count, sites, dueAt: new Date(dueMs) });
  const whenUp = (work: (signal: AbortSignal) => Promise<unknown>) => work as never;
  for (const loop of makeSequencerLoops({ sequencer, channels: [], addMissingTasks: async () => ({}), whenUp }))
    loops.add(loop);
  await servers.join(sequencer);
  loops.start();
  try {
    await Promise.race([done, clock.wait(BOUND_MS)]);
    if (lagsMs.length < count) throw new Error(`only ${lagsMs.length} of ${count} runs began in ${BOUND_MS / 1000} s`);
    return quantile(lagsMs, 0.99) / 1000;
  } finally {
    await loops.stop();
    servers.leave();
    await sequencer.idle();
    await store.close();
  }
}

export async function measurePeerBurst(name: PeerName, addresses: Addresses, count: number): Promise<number> {
  const peer = await makePeer(name, addresses);
  await peer.install();
  const order: WorkerOrder = { peer: name, addresses, concurrency: CONCURRENCY, batched: true, until: count };
  const child = startChild('worker.ts', order);
  try {
    await child.next(60_000);
    const atMs = Date.now() + LEAD_MS;
    await peer.enqueue(Array.from({ length: count }, (_, key) => ({ key, atMs })));
    if (Date.now() > atMs) throw new Error(`${name} took longer than ${LEAD_MS / 1000} s to store ${count} jobs`);
    const { lagsMs } = await child.next<WorkerReport>(BOUND_MS);
    return quantile(lagsMs, 0.99) / 1000;
  } finally {
    await child.kill();
    await peer.close();
  }
}
