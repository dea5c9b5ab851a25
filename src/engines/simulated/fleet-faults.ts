// What can go wrong on demand in the simulated fleet: calls that fail, calls that take long, servers cut off. Apart
// from what the calls do, which never has to think of it.
import type { Clock } from '../../lib/clock.ts';
import type { CallOptions, Files, Fleet, Images, Instances, Snapshots, Volumes } from '../fleet.ts';
import { incusProblems } from '../incus/problems.ts';

/** A call, by its place in the interface: `exec`, `instances.create`, `images.publish` … */
export type FleetVerb =
  | Exclude<keyof Fleet, 'place' | 'instances' | 'files' | 'images' | 'snapshots' | 'volumes' | 'events' | 'close'>
  | `instances.${keyof Instances}`
  | `files.${keyof Files}`
  | `images.${keyof Images}`
  | `snapshots.${keyof Snapshots}`
  | `volumes.${keyof Volumes}`;

export interface FleetFaults {
  /** The next `times` calls of `verb` throw, before or after having done their work. Default: once, before, `incus.away`. */
  failNext(verb: FleetVerb, error?: Error, options?: { times?: number; after?: boolean }): void;
  /** Each call of `verb` takes that long from now on (0 ends it); longer than its bound is `incus.timed-out`. */
  setDelay(verb: FleetVerb, delayMs: number): void;
  /** Every call throws `incus.away` until it is told otherwise. */
  setAway(isAway: boolean): void;
  /** Cuts a server off: it is offline, and calls about what is on it throw `incus.away`. */
  partition(server: string): void;
  /** Ends the partition. */
  rejoin(server: string): void;
  isPartitioned(server: string): boolean;
  /** How often `verb` was begun. */
  calls(verb: FleetVerb): number;
  /** Ends all faults; counts stay. */
  clear(): void;
}

/** Faults, and the guard that every call of the simulated fleet passes. */
export interface FleetGuard extends FleetFaults {
  /** Throws `incus.away` when the server is cut off. */
  assertReachable(server: string): void;
  /** `room`'s methods (their last parameter the options), each behind the faults; `onChange` after what is not a read. */
  guard<T extends object>(prefix: string, room: T, onChange: () => void): T;
}

type Method = (...args: readonly unknown[]) => Promise<unknown>;
interface Planned {
  error: Error;
  times: number;
  after: boolean;
}

/** The options of a call, when its last argument is that. */
function toOptions(last: unknown): CallOptions {
  const isOptions = typeof last === 'object' && last !== null && ('signal' in last || 'timeoutMs' in last);
  return isOptions ? (last as CallOptions) : {};
}

const READS = /(?:^|\.)(?:list|read|usage|servers|capabilities|exec)/;
/** A call that waits longer than this has no bound of its own. */
const DEFAULT_TIMEOUT_MS = 60_000;

/** Faults that are all off. Delays pass on `clock`. */
export function makeFleetGuard(clock: Clock): FleetGuard {
  const planned = new Map<string, Planned>();
  const delays = new Map<string, number>();
  const begun = new Map<string, number>();
  const partitioned = new Set<string>();
  let isAway = false;
  const away = (why: string) => incusProblems.make('away', { why });

  function throwPlanned(verb: string, after: boolean) {
    const plan = planned.get(verb);
    if (plan === undefined || plan.after !== after) return;
    plan.times -= 1;
    if (plan.times <= 0) planned.delete(verb);
    throw plan.error;
  }

  async function pass(verb: string, options: CallOptions) {
    begun.set(verb, (begun.get(verb) ?? 0) + 1);
    options.signal?.throwIfAborted();
    const delayMs = delays.get(verb) ?? 0;
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    if (delayMs > 0) await clock.wait(Math.min(delayMs, timeoutMs), options.signal);
    if (delayMs > timeoutMs) throw incusProblems.make('timed-out', { what: verb, why: `${timeoutMs / 1000} s` });
    if (isAway) throw away('it was told to be away');
    throwPlanned(verb, false);
  }

  return {
    failNext: (verb, error = away('it was told to fail'), { times = 1, after = false } = {}) =>
      void planned.set(verb, { error, times, after }),
    setDelay: (verb, delayMs) => void delays.set(verb, delayMs),
    setAway: (away) => {
      isAway = away;
    },
    partition: (server) => void partitioned.add(server),
    rejoin: (server) => void partitioned.delete(server),
    isPartitioned: (server) => partitioned.has(server),
    calls: (verb) => begun.get(verb) ?? 0,
    clear() {
      for (const faults of [planned, delays, partitioned]) faults.clear();
      isAway = false;
    },

    assertReachable(server) {
      if (partitioned.has(server)) throw away(`server ${server} is offline`);
    },

    guard(prefix, room, onChange) {
      const guarded = Object.entries(room).map(([name, inner]) => {
        const verb = `${prefix}${name}`;
        const method = inner as Method;
        const outer: Method = async (...args) => {
          await pass(verb, toOptions(args.at(-1)));
          const result = await method(...args);
          if (!READS.test(verb)) onChange();
          throwPlanned(verb, true);
          return result;
        };
        return [name, outer];
      });
      return Object.fromEntries(guarded);
    },
  };
}
