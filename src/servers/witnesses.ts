// What servers tell of each other: the second way, beside heartbeats, in which a lost one is seen. Each agent listens to a
// few others, and its heartbeat tells. Kept in memory alone: a controller that has just started waits for fresh word.
import { createHash } from 'node:crypto';
import type { Clock } from '../lib/clock.ts';
import { isApart, type ServerRow } from './store.ts';

/** Each is listened to by so many: one of them may be lost with it. */
const LISTENERS = 3;
/** Word that is older counts for nothing: its teller may be lost too. */
const FRESH_MS = 5_000;
/** Three attempts in vain. */
const DEAF_MS = 4_000;

/** The servers that say something of one, by what they say. */
export interface Testimony {
  hear: string[];
  deaf: string[];
  /** Its agent was turned away just now, with the reason: it lives. */
  refused?: string;
}

export interface Witnesses {
  /** What a heartbeat told: for how long each of the others has not answered; 0: it answered last. */
  note(teller: string, heard: readonly { server: string; silentMs: number }[]): void;
  /** An agent knocked and was turned away. It goes on knocking. */
  refuse(server: string, why: string): void;
  /** What is said freshly of a server. */
  ask(server: string): Testimony;
}

export function makeWitnesses(clock: Clock): Witnesses {
  /** What is said of each server, by who says it; and of whom each of these speaks. */
  const said = new Map<string, Map<string, { atMs: number; silentMs: number }>>();
  const spoken = new Map<string, readonly string[]>();
  const refusals = new Map<string, { atMs: number; why: string }>();
  return {
    note(teller, heard) {
      for (const server of spoken.get(teller) ?? []) said.get(server)?.delete(teller);
      const atMs = clock.monotonicMs();
      for (const { server, silentMs } of heard) {
        const words = said.get(server) ?? new Map<string, { atMs: number; silentMs: number }>();
        said.set(server, words.set(teller, { atMs, silentMs }));
      }
      spoken.set(
        teller,
        heard.map(({ server }) => server),
      );
    },
    refuse: (server, why) => void refusals.set(server, { atMs: clock.monotonicMs(), why }),
    ask(server) {
      const testimony: Testimony = { hear: [], deaf: [] };
      for (const [teller, { atMs, silentMs }] of said.get(server) ?? []) {
        const ageMs = clock.monotonicMs() - atMs;
        if (ageMs > FRESH_MS) continue;
        if (silentMs === 0) testimony.hear.push(teller);
        else if (silentMs + ageMs >= DEAF_MS) testimony.deaf.push(teller);
      }
      const refusal = refusals.get(server);
      const isRefused = refusal !== undefined && clock.monotonicMs() - refusal.atMs <= FRESH_MS;
      return isRefused ? { ...testimony, refused: refusal.why } : testimony;
    },
  };
}

/**
 * Whom each server's agent listens to: the next ones on a ring on which servers stand by a hash of their names, so that those of one
 * rack, which are lost together, are not each other's only witnesses.
 */
export function makeRing(
  servers: readonly Pick<ServerRow, 'name' | 'state' | 'address'>[],
): (server: string) => { server: string; address: string }[] {
  const ring = servers
    .filter(({ state }) => state !== 'joining' && !isApart(state))
    .map(({ name, address }) => ({ server: name, address, place: placeOf(name) }))
    .sort((a, b) => (a.place < b.place ? -1 : 1));
  return (server) => {
    const own = placeOf(server);
    const found = ring.findIndex(({ place }) => place > own);
    const next = found === -1 ? ring.length : found;
    const after = [...ring.slice(next, next + LISTENERS), ...ring.slice(0, Math.min(next, LISTENERS))];
    const others = after.filter(({ place }) => place !== own);
    return others.slice(0, LISTENERS).map(({ place: _, ...one }) => one);
  };
}

const placeOf = (name: string): string => `${createHash('sha256').update(name).digest('hex')} ${name}`;
