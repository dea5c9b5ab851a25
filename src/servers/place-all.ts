// Places several containers one after another, each seeing those before it: for plans, which must know whether all of
// them have room and not only the first. Apart from placing one (place.ts), which decides when its time has come.
import { choosePlacement, type Placement } from './place.ts';
import type { ServerRow } from './store.ts';

export interface Placed extends Placement {
  name: string;
}

/** A container that needs a place, and which group (a pool) it is one of. */
export interface Wanting {
  name: string;
  memoryMb: number;
  group: string;
}

/**
 * Where each would go, and the servers as they would be then. `groups`: how many of each group are on which server already.
 * Throws what choosePlacement throws for the first that fits nowhere.
 */
export function placeAll(
  servers: readonly ServerRow[],
  wanting: readonly Wanting[],
  groups: ReadonlyMap<string, ReadonlyMap<string, number>>,
): { placed: Placed[]; servers: ServerRow[] } {
  const counts = new Map([...groups].map(([group, on]) => [group, new Map(on)]));
  let now = [...servers];
  // The largest first: what is small fits beside it.
  const placed = [...wanting]
    .sort((a, b) => b.memoryMb - a.memoryMb)
    .map(({ name, memoryMb, group }) => {
      const groupOn = counts.get(group) ?? new Map<string, number>();
      const { server, reason } = choosePlacement(now, { memoryMb, groupOn });
      groupOn.set(server, (groupOn.get(server) ?? 0) + 1);
      counts.set(group, groupOn);
      now = now.map((one) => (one.name === server ? withLess(one, memoryMb) : one));
      return { name, server, reason };
    });
  return { placed, servers: now };
}

/** The server with so much memory taken, or given back (negative). */
export function withLess(server: ServerRow, memoryMb: number): ServerRow {
  if (server.load === undefined) return server;
  const memoryAvailableBytes = server.load.memoryAvailableBytes - memoryMb * 2 ** 20;
  return { ...server, load: { ...server.load, memoryAvailableBytes } };
}
