// The sequencer's numbers, each with its reason. Apart so that tests and the simulation can choose others.

export interface SequencerSettings {
  /** How long a lease holds. Ten heartbeats: one lost or late is no reason to kill anything. */
  leaseMs: number;
  /** After a lease ended the run counts as lost. More than the agent needs to kill, which it begins 2 s before the end. */
  graceMs: number;
  /** A server without a heartbeat for this long gets no runs. */
  freshMs: number;
  /** Rows that one transaction claims: large enough that its cost is shared, small enough that others wait little. */
  batch: number;
  /** Ticks are made so long before they are due, so that what is due at one moment only needs to be given to servers then. */
  aheadMs: number;
  /** Runs of one site that may be open (in the order of service, leased or running) at once. */
  siteMost: number;
  /** A refused run waits this long, and after so many refusals it counts as failed. */
  refusedPauseS: number;
  refusalsMost: number;
  /** The circuit breaker opens after so many failures in a row, first for this long, doubling up to the most. */
  breakerAfter: number;
  breakerFirstS: number;
  breakerMostS: number;
  /** Pressure (percent) above which a server gets no bulk runs, and above which it gets none but urgent ones. */
  bulkPressure: number;
  normalPressure: number;
  /** A server with less free memory gets no runs. */
  leastMemoryBytes: number;
  /** Days of history. */
  historyDays: number;
}

export const DEFAULT_SETTINGS: SequencerSettings = {
  leaseMs: 10_000,
  graceMs: 5_000,
  freshMs: 4_000,
  batch: 1_000,
  aheadMs: 2_000,
  siteMost: 8,
  refusedPauseS: 2,
  refusalsMost: 10,
  breakerAfter: 5,
  breakerFirstS: 900,
  breakerMostS: 86_400,
  bulkPressure: 80,
  normalPressure: 95,
  leastMemoryBytes: 128 * 2 ** 20,
  historyDays: 30,
};

export type TaskClass = 'urgent' | 'normal' | 'bulk';

/**
 * What a class yields to others, and so how soon it has aged to be their equal: within a site in seconds of waiting, among
 * sites in worker-seconds that every busy site has had meanwhile. Bulk is late, never starved.
 */
export const YIELDS: Readonly<Record<TaskClass, { waitS: number; virtualS: number }>> = {
  urgent: { waitS: 0, virtualS: 0 },
  normal: { waitS: 300, virtualS: 300 },
  bulk: { waitS: 1_800, virtualS: 1_800 },
};
