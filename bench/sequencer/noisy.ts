// (f) One site asks for ten thousand runs: what that does to the start of everybody else's. A moderate load of many sites, first alone,
// then beside the noisy one; every run takes the same time, which is the quantum.
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makePeer } from '../peers/make-peer.ts';
import { quantile } from '../statistics.ts';
import { startChild } from './child.ts';
import type { PeerName } from './contestant.ts';
import type { ControllerOrder } from './controller.ts';
import { readDiary } from './diary.ts';
import { addServers, addSites, addTasks, openOurs } from './ours.ts';
import type { ServersOrder } from './servers.ts';
import { type Addresses, makeDatabase } from './services.ts';
import type { WorkerOrder } from './worker.ts';

/** What a run takes, in earnest and by what has been learnt of it. */
export const QUANTUM_S = 0.5;
const SLOTS = 40;
const QUIET_SITES = 200;
/** Of the others, one a tenth of a second: an eighth of the slots. */
const EVERY_MS = 100;
const NOISY = 10_000;
const NOISY_KEY = 1_000_000;
const LEAD_MS = 4_000;

export interface Noisy {
  aloneS: number;
  besideS: number;
  growthS: number;
}

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** How late each key began; what never began counts as late as the bound. */
async function lagP99(diaries: readonly string[], due: ReadonlyMap<number, number>, boundMs: number): Promise<number> {
  const lines = (await Promise.all(diaries.map(readDiary))).flat();
  const begun = new Map<number, number>();
  for (const [what, key, , atMs] of lines) if (what === 'begin' && !begun.has(key)) begun.set(key, atMs);
  return quantile(
    [...due].map(([key, atMs]) => (begun.get(key) ?? atMs + boundMs) - atMs),
    0.99,
  );
}

/** Due times of the quiet ones: `count` from the moment on. */
const plan = (first: number, count: number, fromMs: number): Map<number, number> =>
  new Map(Array.from({ length: count }, (_, index) => [first + index, fromMs + index * EVERY_MS]));

export async function measureOurNoise(addresses: Addresses, phaseMs: number): Promise<Noisy> {
  const dir = await mkdtemp(join(addresses.folder, 'noisy-'));
  const url = await makeDatabase(addresses.postgres, 'ours_noisy');
  const store = await openOurs(url);
  const socket = join(dir, 'controller.sock');
  const names = ['one', 'two'];
  await addServers(store, names);
  await addSites(store, 0, QUIET_SITES + 1);
  const diary = join(dir, 'diary');
  const controller = startChild('controller.ts', { url, socket } satisfies ControllerOrder);
  const servers = startChild('servers.ts', {
    ...{ names, socket, slots: SLOTS / 2, diary, apart: false },
  } satisfies ServersOrder);
  try {
    await Promise.all([controller.next(30_000), servers.next(30_000)]);
    await sleep(3_000);
    const count = Math.floor(phaseMs / EVERY_MS);
    const common = { sites: QUIET_SITES, workMs: QUANTUM_S * 1000, costS: QUANTUM_S };
    const phase = async (first: number): Promise<number> => {
      const fromMs = Date.now() + LEAD_MS;
      const due = plan(first, count, fromMs);
      await addTasks(store, { ...common, first, count, dueAt: new Date(fromMs), everyMs: EVERY_MS });
      await sleep(LEAD_MS + phaseMs + 5_000);
      return lagP99([diary], due, phaseMs + 5_000);
    };
    const aloneMs = await phase(0);
    const noisy = { first: NOISY_KEY, count: NOISY, sites: 1, firstSite: QUIET_SITES };
    await addTasks(store, { ...common, ...noisy, dueAt: new Date() });
    const besideMs = await phase(count);
    return { aloneS: aloneMs / 1000, besideS: besideMs / 1000, growthS: (besideMs - aloneMs) / 1000 };
  } finally {
    await Promise.all([controller.kill(), servers.kill()]);
    await store.close();
    await rm(dir, { recursive: true, force: true });
  }
}

export async function measurePeerNoise(name: PeerName, addresses: Addresses, phaseMs: number): Promise<Noisy> {
  const dir = await mkdtemp(join(addresses.folder, 'noisy-'));
  const peer = await makePeer(name, addresses);
  await peer.install();
  const diary = join(dir, 'diary');
  const order: WorkerOrder = { peer: name, addresses, concurrency: SLOTS, batched: false, diary };
  const child = startChild('worker.ts', order);
  try {
    await child.next(60_000);
    const workMs = QUANTUM_S * 1000;
    const count = Math.floor(phaseMs / EVERY_MS);
    const phase = async (first: number): Promise<number> => {
      const due = plan(first, count, Date.now() + LEAD_MS);
      await peer.enqueue([...due].map(([key, atMs]) => ({ key, atMs, workMs })));
      await sleep(LEAD_MS + phaseMs + 5_000);
      return lagP99([diary], due, phaseMs + 5_000);
    };
    const aloneMs = await phase(0);
    await peer.enqueue(Array.from({ length: NOISY }, (_, index) => ({ key: NOISY_KEY + index, workMs })));
    const besideMs = await phase(count);
    return { aloneS: aloneMs / 1000, besideS: besideMs / 1000, growthS: (besideMs - aloneMs) / 1000 };
  } finally {
    await child.kill();
    await peer.close();
    await rm(dir, { recursive: true, force: true });
  }
}
