// Which server takes a run: among those with a ready node of its pool and a free slot, two by chance and the better of the
// two. A pure decision with its reason, apart from the store.
import type { SequencerSettings, TaskClass } from './settings.ts';

export interface RunServer {
  server: string;
  /** The heartbeat that its leases are counted from. */
  beat: string;
  free: number;
  slots: number;
  cpuPressure: number;
  memoryPressure: number;
  ioPressure: number;
  memoryFreeBytes: number;
}

export const pressureOf = (server: RunServer): number =>
  Math.max(server.cpuPressure, server.memoryPressure, server.ioPressure);

/** Whether a server may take a run of this class now; the sentence says why not. */
export function refuse(server: RunServer, taskClass: TaskClass, settings: SequencerSettings): string | undefined {
  if (server.free <= 0) return `${server.server} has all ${server.slots} slots taken`;
  if (server.memoryFreeBytes < settings.leastMemoryBytes)
    return `${server.server} has only ${Math.floor(server.memoryFreeBytes / 2 ** 20)} MB of memory free`;
  const pressure = pressureOf(server);
  const most = taskClass === 'bulk' ? settings.bulkPressure : taskClass === 'normal' ? settings.normalPressure : 101;
  if (pressure > most) return `${server.server} has ${pressure.toFixed(0)} % pressure, too much for ${taskClass} tasks`;
  return undefined;
}

// Pressure lags by seconds; what was given since shows in the slots, so both count alike.
const burden = (server: RunServer): number =>
  pressureOf(server) / 100 + (server.slots - server.free) / Math.max(1, server.slots);

/** The better of two. */
export function isBetter(a: RunServer, b: RunServer): boolean {
  const difference = burden(a) - burden(b);
  return difference === 0 ? a.memoryFreeBytes >= b.memoryFreeBytes : difference < 0;
}

/** Chooses and says why. `servers` are those with a ready node of the pool; undefined when none may take it. */
export function pickServer(
  servers: readonly RunServer[],
  taskClass: TaskClass,
  settings: SequencerSettings,
  random: () => number,
): { server: RunServer; why: string } | undefined {
  const able = servers.filter((server) => refuse(server, taskClass, settings) === undefined);
  const first = able[Math.floor(random() * able.length)];
  if (first === undefined) return undefined;
  const others = able.filter((server) => server !== first);
  const second = others[Math.floor(random() * others.length)];
  const server = second === undefined || isBetter(first, second) ? first : second;
  const how =
    second === undefined
      ? 'the only one of its pool with room'
      : `better than ${(server === first ? second : first).server}, two of ${able.length} by chance`;
  const free = `${server.free} of ${server.slots} slots free`;
  return { server, why: `${server.server}: ${how}; ${pressureOf(server).toFixed(0)} % pressure, ${free}` };
}
