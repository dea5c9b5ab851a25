// What containers hold of the machine's memory. Apart because a kernel counts a file that was read once as used.
import type { Fleet } from '../src/engines/fleet.ts';

export interface Memory {
  /** As the fleet says it: with the page cache, which the kernel gives back when it is short. */
  withCacheMb: number;
  /** Without the page cache. */
  heldMb: number;
}

const MB = 2 ** 20;

/** All bytes of these containers together. */
export async function readMemory(fleet: Fleet, names: readonly string[]): Promise<Memory> {
  const all = await Promise.all(
    names.map(async (name) => {
      const { memoryBytes } = await fleet.instances.readState(name);
      // cgroups v1 keep a folder for each resource, v2 has one for all.
      const script = 'cat /sys/fs/cgroup/memory/memory.stat 2>/dev/null || cat /sys/fs/cgroup/memory.stat';
      const { stdout } = await fleet.exec(name, ['sh', '-c', script]);
      return { memoryBytes, cacheBytes: parsePageCache(stdout) };
    }),
  );
  const sum = (of: (one: (typeof all)[number]) => number) => all.reduce((total, one) => total + of(one), 0) / MB;
  return { withCacheMb: sum((one) => one.memoryBytes), heldMb: sum((one) => one.memoryBytes - one.cacheBytes) };
}

/** Bytes of file pages that can be dropped: `inactive_file` and `active_file` (with everything below, on cgroups v1). */
export function parsePageCache(stat: string): number {
  const facts = new Map(stat.split('\n').map((line) => line.split(' ') as [string, string]));
  const read = (name: string) => Number(facts.get(`total_${name}`) ?? facts.get(name) ?? 0);
  return read('inactive_file') + read('active_file');
}
