// What every file of this room is given.
import type { Clock } from '../lib/clock.ts';
import type { Events } from '../platform/events.ts';
import type { Operations } from '../platform/operations/operation.ts';
import type { Store } from '../platform/store.ts';
import type { PoolParts } from '../pools/parts.ts';
import type { SiteParts } from '../sites/parts.ts';

export interface WaveParts {
  store: Store;
  operations: Operations;
  events: Events;
  clock: Clock;
  pools: PoolParts;
  sites: SiteParts;
  /** Looks soon at what the waves do next. */
  wake(): void;
}

/** What an event about a wave is about. */
export const waveSubject = (id: string): string => `wave:${id}`;
