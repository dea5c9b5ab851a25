// (c) and (d): of two workers one is killed, or stopped for longer than any lease and then continued, with jobs in hand. All systems
// at the same time, since they mostly wait; judged by what the workers wrote down.
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makePeer } from '../peers/make-peer.ts';
import { type Child, signalGroup, startChild } from './child.ts';
import type { PeerName } from './contestant.ts';
import type { ControllerOrder } from './controller.ts';
import { type Judged, judgeDiary, readDiary } from './diary.ts';
import { addServers, addSites, addTasks, openOurs } from './ours.ts';
import type { ServersOrder } from './servers.ts';
import { type Addresses, makeDatabase } from './services.ts';
import type { WorkerOrder } from './worker.ts';

export type Fault = 'kill' | 'freeze';

export interface FaultTimes {
  /** From the fault on: for how long a stopped worker stands still, and when the diaries are judged at the latest. */
  freezeMs: number;
  judgeMs: number;
}

export interface FaultResult extends Judged {
  inHand: number;
  /** Ends of an attempt that had been given to another, and that counted nevertheless. */
  staleAccepted: number;
}

/** As many as both can have in hand: what is recovered waits for nothing else. */
const JOBS = 10;
/** Longer than the way to the fault, so that what is in hand is in the middle of its work; for the freeze longer than leases. */
const WORK_MS: Readonly<Record<Fault, number>> = { kill: 8_000, freeze: 30_000 };
const CONCURRENCY = 5;
/** From the first jobs' beginning to the fault. */
const INTO_MS = 3_000;

interface Contest {
  /** The one that is killed or stopped. */
  victim: Child;
  diaries: { victim: string; other: string };
  /** So far; asked again and again after the victim goes on. */
  staleAccepted(): Promise<number>;
  close(): Promise<void>;
}

const keys = Array.from({ length: JOBS }, (_, key) => key);
const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

async function contestOurs(addresses: Addresses, dir: string, fault: Fault): Promise<Contest> {
  const url = await makeDatabase(addresses.postgres, `ours_${fault}`);
  const store = await openOurs(url);
  const names = ['victim', 'other'];
  await addServers(store, names);
  await addSites(store, 0, JOBS);
  const socket = join(dir, 'controller.sock');
  const controller = startChild('controller.ts', { url, socket } satisfies ControllerOrder);
  await controller.next(30_000);
  const diaries = { victim: join(dir, 'victim'), other: join(dir, 'other') };
  const [victim, other] = (['victim', 'other'] as const).map((name) =>
    startChild('servers.ts', {
      ...{ names: [name], socket, slots: CONCURRENCY, diary: diaries[name], apart: true },
    } satisfies ServersOrder),
  );
  if (victim === undefined || other === undefined) throw new Error('two servers were asked for');
  await Promise.all([victim.next(30_000), other.next(30_000)]);
  await sleep(2_500);
  await addTasks(store, {
    first: 0,
    count: JOBS,
    sites: JOBS,
    dueAt: new Date(),
    workMs: WORK_MS[fault],
    costS: WORK_MS[fault] / 1000,
  });
  return {
    victim,
    diaries,
    async staleAccepted() {
      // A lease's end counted though a later lease of the same due time had been given before it came.
      const [row] = await store.query<{ n: number }>(
        `SELECT count(*) AS n FROM run_history AS old JOIN run_history AS new USING (task, due_at)
         WHERE old.epoch < new.epoch AND old.state = 'succeeded' AND new.leased_at < old.ended_at`,
      );
      return row?.n ?? 0;
    },
    async close() {
      await Promise.all([victim.kill(), other.kill(), controller.kill()]);
      await store.close();
    },
  };
}

async function contestPeer(name: PeerName, addresses: Addresses, dir: string, fault: Fault): Promise<Contest> {
  const peer = await makePeer(name, addresses);
  await peer.install();
  const diaries = { victim: join(dir, 'victim'), other: join(dir, 'other') };
  const [victim, other] = (['victim', 'other'] as const).map((role) =>
    startChild('worker.ts', {
      ...{ peer: name, addresses, concurrency: CONCURRENCY, batched: false, diary: diaries[role] },
    } satisfies WorkerOrder),
  );
  if (victim === undefined || other === undefined) throw new Error('two workers were asked for');
  await Promise.all([victim.next(60_000), other.next(60_000)]);
  await peer.enqueue(keys.map((key) => ({ key, workMs: WORK_MS[fault] })));
  return {
    victim,
    diaries,
    async staleAccepted() {
      // While the other worker is at work on a job, the queue must still have it.
      const before = await listAtWork(diaries.other);
      const left = await peer.countLeft();
      const after = new Set(await listAtWork(diaries.other));
      return Math.max(0, before.filter((key) => after.has(key)).length - left);
    },
    async close() {
      await Promise.all([victim.kill(), other.kill()]);
      await peer.close();
    },
  };
}

/** The jobs that a worker has begun and not ended, by its diary. */
async function listAtWork(diary: string): Promise<number[]> {
  const lines = await readDiary(diary);
  const ended = new Set(lines.filter(([what]) => what === 'end').map(([, key]) => key));
  return lines.filter(([what, key]) => what === 'begin' && !ended.has(key)).map(([, key]) => key);
}

/** One fault for one system. */
export async function measureFault(
  name: PeerName | 'ours',
  fault: Fault,
  addresses: Addresses,
  times: FaultTimes,
): Promise<FaultResult> {
  const dir = await mkdtemp(join(addresses.folder, 'fault-'));
  let contest: Contest | undefined;
  try {
    contest =
      name === 'ours' ? await contestOurs(addresses, dir, fault) : await contestPeer(name, addresses, dir, fault);
    const { victim, diaries } = contest;
    const untilMs = performance.now() + 60_000;
    while ((await readDiary(diaries.victim)).length === 0) {
      if (performance.now() > untilMs) throw new Error(`${name} gave its first worker nothing in 60 s`);
      await sleep(50);
    }
    await sleep(INTO_MS);
    // A moment at which it is in the middle of its work.
    for (;;) {
      const begun = (await readDiary(diaries.victim)).filter(([what]) => what === 'begin').at(-1);
      if (begun === undefined || Date.now() - begun[3] > 200) break;
      await sleep(50);
    }
    // Ours: the agent is stopped, its node is a machine's own; killed are both.
    if (fault === 'kill') signalGroup(victim.process, 'SIGKILL');
    else victim.process.kill('SIGSTOP');
    const fromMs = Date.now();
    const inHand = await listAtWork(diaries.victim);
    if (inHand.length === 0) throw new Error(`${name}'s worker had nothing in hand`);
    const judgeAt = performance.now() + times.judgeMs;
    if (fault === 'freeze') {
      await sleep(times.freezeMs);
      victim.process.kill('SIGCONT');
    }
    let staleAccepted = 0;
    const judge = async () => {
      if (fault === 'freeze') staleAccepted = Math.max(staleAccepted, (await contest?.staleAccepted()) ?? 0);
      const lines = [...(await readDiary(diaries.victim)), ...(await readDiary(diaries.other))];
      return { ...judgeDiary(lines, keys, inHand, fromMs), inHand: inHand.length, staleAccepted };
    };
    // After all have ended, what was stopped may still be at its old work.
    let endAt = judgeAt;
    for (;;) {
      const judged = await judge();
      if (judged.lost === 0 && (fault === 'freeze' || judged.recoveryS !== undefined))
        endAt = Math.min(endAt, performance.now() + WORK_MS[fault]);
      if (performance.now() > endAt) return judged;
      await sleep(250);
    }
  } finally {
    await contest?.close();
    await rm(dir, { recursive: true, force: true });
  }
}
