// Which server takes a run: among those with a ready node of its pool and a free slot, two by chance and the better of the
// two. A pure decision with its reason, apart from the store.
import { toPlacement } from './placement.ts';
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

/** Those of them that may take a run of this class now. */
export const listAble = (
  servers: readonly RunServer[],
  taskClass: TaskClass,
  settings: SequencerSettings,
): RunServer[] => servers.filter((server) => refuse(server, taskClass, settings) === undefined);

/** One by chance of all but the last `apart` of the list, put before those; one without a free slot leaves the list. */
function draw(able: RunServer[], apart: number, random: () => number): RunServer | undefined {
  for (;;) {
    const last = able.length - apart - 1;
    const index = Math.floor(random() * (last + 1));
    const server = able[index];
    const other = able[last];
    if (server === undefined || other === undefined) return undefined;
    if (server.free > 0) {
      able[index] = other;
      able[last] = server;
      return server;
    }
    able.splice(index, 1);
  }
}

const stateOf = (server: RunServer) => ({
  pressure: pressureOf(server),
  free: server.free,
  slots: server.slots,
});

/** Chooses of `able` (see `listAble`) and says why; undefined when none has room. What it finds full it takes from the list. */
export function pickServer(
  able: RunServer[],
  random: () => number,
): { server: RunServer; placement: string } | undefined {
  const first = draw(able, 0, random);
  if (first === undefined) return undefined;
  const second = draw(able, 1, random);
  if (second === undefined) return { server: first, placement: toPlacement(stateOf(first)) };
  const [server, other] = isBetter(first, second) ? [first, second] : [second, first];
  return { server, placement: toPlacement(stateOf(server), { server: other.server, of: able.length }) };
}
