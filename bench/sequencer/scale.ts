// Scale: what a controller uses for tasks by the ten thousand on a thousand servers that all send heartbeats, over the agents' real
// channel; and what a tick costs for one due task at three sizes.
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { median } from '../statistics.ts';
import { startChild } from './child.ts';
import type { ControllerOrder, Usage } from './controller.ts';
import { makeNoOpServers } from './no-op-servers.ts';
import { addServers, addSites, addTasks, makeOurs, openOurs } from './ours.ts';
import type { ServersOrder } from './servers.ts';
import { type Addresses, makeDatabase } from './services.ts';

export interface ScaleOptions {
  tasks: number;
  sites: number;
  servers: number;
  /** Each task is due so often. */
  everyS: number;
  runMs: number;
  measureMs: number;
}

export const SCALE: ScaleOptions = {
  ...{ tasks: 60_000, sites: 10_000, servers: 1_000 },
  // Mautic's and WordPress's usual interval.
  everyS: 300,
  runMs: 1_000,
  measureMs: 60_000,
};

export interface Scale {
  /** Cores of the controller's process. */
  cpu: number;
  rssMb: number;
  runsPerS: number;
}

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

export async function measureScale(addresses: Addresses, options: ScaleOptions): Promise<Scale> {
  const dir = await mkdtemp(join(addresses.folder, 'scale-'));
  const url = await makeDatabase(addresses.postgres, 'ours_scale');
  const store = await openOurs(url);
  const socket = join(dir, 'controller.sock');
  const names = Array.from({ length: options.servers }, (_, index) => `server-${index}`);
  await addServers(store, names);
  await addSites(store, 0, options.sites);
  await addTasks(store, {
    ...{ first: 0, count: options.tasks, sites: options.sites, everyS: options.everyS, spread: true },
    ...{
      dueAt: new Date(Math.floor(Date.now() / 1000 / options.everyS) * options.everyS * 1000 + options.everyS * 1000),
    },
    ...{ workMs: options.runMs, costS: options.runMs / 1000 },
  });
  // From now on, spread as they are: none is overdue at the start.
  await store.query(
    'UPDATE task SET next_at = next_at - make_interval(secs => every_s) WHERE next_at - make_interval(secs => every_s) > now()',
  );
  const controller = startChild('controller.ts', { url, socket } satisfies ControllerOrder);
  const servers = startChild('servers.ts', { names, socket, slots: 8, apart: false } satisfies ServersOrder);
  try {
    await Promise.all([controller.next(60_000), servers.next(60_000)]);
    // Everybody connects, and what runs reaches its level.
    await sleep(15_000);
    const ask = async (): Promise<Usage> => {
      controller.process.stdin?.write('usage\n');
      return controller.next<Usage>(30_000);
    };
    const count = async (): Promise<number> => {
      const [row] = await store.query<{ n: number }>(`SELECT count(*) AS n FROM run_history WHERE state = 'succeeded'`);
      return row?.n ?? 0;
    };
    const before = [await ask(), await count()] as const;
    await sleep(options.measureMs);
    const after = [await ask(), await count()] as const;
    const wallS = after[0].wallS - before[0].wallS;
    return {
      cpu: (after[0].cpuS - before[0].cpuS) / wallS,
      rssMb: after[0].rssMb,
      runsPerS: (after[1] - before[1]) / wallS,
    };
  } finally {
    await Promise.all([controller.kill(), servers.kill()]);
    await store.close();
    await rm(dir, { recursive: true, force: true });
  }
}

/** Milliseconds of a tick for each due task, by how many are due; in a table of as many as the largest, median of three. */
export async function measureTickCost(addresses: Addresses, sizes: readonly number[]): Promise<Map<number, number>> {
  const store = await openOurs(await makeDatabase(addresses.postgres, 'ours_tick'));
  try {
    const most = Math.max(...sizes);
    const names = ['one'];
    await addServers(store, names);
    await addSites(store, 0, Math.ceil(most / 6));
    await addTasks(store, {
      first: 0,
      count: most,
      sites: Math.ceil(most / 6),
      dueAt: new Date(Date.now() + 86_400_000),
    });
    const sequencer = makeOurs({ store, agents: makeNoOpServers(names, 0, () => {}).agents });
    const costs = new Map<number, number>();
    for (const size of sizes) {
      const found: number[] = [];
      for (let round = 0; round < 3; round += 1) {
        await store.script('TRUNCATE run, run_next, run_history');
        await store.query(`UPDATE task SET next_at = now() + interval '1 day'`);
        await store.query(`UPDATE task SET next_at = now() WHERE id IN (SELECT id FROM task ORDER BY id LIMIT $1)`, [
          size,
        ]);
        await store.query('VACUUM ANALYZE task');
        const startedMs = performance.now();
        const { due } = await sequencer.tick();
        if (due !== size) throw new Error(`${due} of ${size} were due`);
        found.push((performance.now() - startedMs) / size);
      }
      costs.set(size, median(found));
    }
    return costs;
  } finally {
    await store.close();
  }
}
