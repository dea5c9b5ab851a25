// What this controller knows of the servers whose agents are connected to it: their last heartbeats and what it gave and
// took back since. In memory, because only it can give their agents runs; a new controller hears anew within a second.
import type { Clock } from '../lib/clock.ts';
import type { RunSlots, ServerLoad } from '../protocol/contract.ts';
import type { RunServer } from './pick-server.ts';

export interface Ledger {
  /** A heartbeat has come. */
  heard(server: string, beat: string, slots: RunSlots, load: ServerLoad): void;
  /** Runs were given (negative: ended, refused or never arrived). */
  gave(server: string, count: number): void;
  /** Orders that were sent and are not answered: the next heartbeat may not count them yet. */
  underWay(server: string, count: number): void;
  forget(server: string): void;
  /** Servers with a fresh heartbeat, as copies that the choice may change. */
  fresh(freshMs: number): RunServer[];
  /** All servers heard of lately, with the age of their heartbeat, milliseconds. */
  ages(): { server: string; ageMs: number }[];
}

interface Entry extends RunServer {
  atMs: number;
  ordered: number;
}

export function makeLedger(clock: Clock): Ledger {
  const entries = new Map<string, Entry>();
  const ageOf = (entry: Entry): number => clock.monotonicMs() - entry.atMs;
  return {
    heard(server, beat, slots, load) {
      const ordered = entries.get(server)?.ordered ?? 0;
      entries.set(server, {
        server,
        beat,
        free: slots.free - ordered,
        slots: slots.total,
        cpuPressure: load.cpuPressure,
        memoryPressure: load.memoryPressure,
        ioPressure: load.ioPressure,
        memoryFreeBytes: load.memoryAvailableBytes,
        atMs: clock.monotonicMs(),
        ordered,
      });
    },
    gave(server, count) {
      const entry = entries.get(server);
      if (entry !== undefined) entry.free = Math.min(entry.slots, entry.free - count);
    },
    underWay(server, count) {
      const entry = entries.get(server);
      if (entry !== undefined) entry.ordered = Math.max(0, entry.ordered + count);
    },
    forget: (server) => void entries.delete(server),
    fresh: (freshMs) =>
      [...entries.values()]
        .filter((entry) => ageOf(entry) <= freshMs)
        .map(({ atMs: _, ordered: __, ...server }) => server),
    ages: () => [...entries.values()].map((entry) => ({ server: entry.server, ageMs: ageOf(entry) })),
  };
}
