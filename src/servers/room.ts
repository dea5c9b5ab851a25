// Whether there is room for what is asked, looked at before anything begins: a refusal costs less than an operation that
// fails half way. Apart from placing (place.ts), which looks again when its time has come.
import type { Fleet } from '../engines/fleet.ts';
import type { Sql } from '../platform/store.ts';
import { freeMb, RESERVED_MEMORY_MB } from './place.ts';
import { serverProblems } from './problems.ts';
import { listServers } from './store.ts';

const MB = 2 ** 20;

/** Throws `server.no-disk` when less is free in the storage pool. Without a pool, before the first `up`, there is nothing to say. */
export async function assertDisk(fleet: Fleet, neededMb: number): Promise<void> {
  const usage = await fleet.usage();
  if (usage === undefined) return;
  const freeMb = Math.floor((usage.diskTotalBytes - usage.diskUsedBytes) / MB);
  if (freeMb < neededMb) throw serverProblems.make('no-disk', { neededMb, freeMb, where: 'the storage pool' });
}

/**
 * Throws `server.no-memory` when the ready servers have no room for so many containers of that size. While none is ready
 * nothing can be said: the operation waits for one.
 */
export async function assertMemory(sql: Sql, wish: { memoryMb: number; count: number }): Promise<void> {
  const ready = (await listServers(sql)).filter((server) => server.state === 'ready' && server.load !== undefined);
  if (ready.length === 0) return;
  const fit = ready.map((server) => Math.max(0, Math.floor((freeMb(server) - RESERVED_MEMORY_MB) / wish.memoryMb)));
  if (fit.reduce((sum, count) => sum + count, 0) >= wish.count) return;
  const best = ready.map((server) => `${server.name} has ${freeMb(server)} MB free`).join(', ');
  throw serverProblems.make('no-memory', { neededMb: wish.memoryMb * wish.count + RESERVED_MEMORY_MB, best });
}
