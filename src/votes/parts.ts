// What every file of this room is given.
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { Events } from '../platform/events.ts';
import type { Operations } from '../platform/operations/operation.ts';
import type { Sql, Store } from '../platform/store.ts';
import type { PoolParts } from '../pools/parts.ts';

export interface VotesParts {
  store: Store;
  events: Events;
  operations: Operations;
  pools: PoolParts;
  clock: Clock;
  log: Logger;
  /** The time that decides: the database's own in earnest, null; a test's clock otherwise. */
  at(): Date | null;
  /** Runs of tasks of the pools' sites that wait for a slot, by pool. */
  countWaitingRuns(sql: Sql, pools: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Where the edges answer, for numbers that a site's own URL tells. */
  listEdgeAddresses(sql: Sql): Promise<string[]>;
}
