// When each heartbeat was sent, by its name. A lease counts from the sending of the heartbeat that it refers to, so that
// neither a slow network nor a frozen agent can lengthen it. Names are never used twice, not by a later process either.
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../lib/clock.ts';

export interface Beats {
  /** A new heartbeat, sent now. */
  next(): string;
  /** When it was sent (monotonic, milliseconds); undefined when it was another process's or is long ago. */
  sentMs(beat: string): number | undefined;
}

/** More than the longest lease has heartbeats. */
const KEPT = 120;

export function makeBeats(clock: Clock): Beats {
  const process = randomUUID();
  const sent = new Map<string, number>();
  let count = 0;
  return {
    next() {
      const beat = `${process}-${++count}`;
      sent.set(beat, clock.monotonicMs());
      sent.delete(`${process}-${count - KEPT}`);
      return beat;
    },
    sentMs: (beat) => sent.get(beat),
  };
}
