// The leases of the operations in this controller's hands: renewed while it lives, given up before they run out when
// the database does not answer. Apart from the driver, because this is what keeps two controllers apart.
import type { Clock } from '../../lib/clock.ts';
import { toProblem } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import type { Store } from '../store.ts';
import { type OperationRecord, renewLeases } from './records.ts';

/** One operation in hand. */
export interface Hand {
  readonly record: OperationRecord;
  readonly cancel: AbortController;
  /** Aborted when the controller stops, and when the lease is lost. */
  readonly abandon: AbortController;
  /** Nothing more may be written. */
  lost: boolean;
  /** By the monotonic clock, reckoned from before the question was sent. */
  leaseUntilMs: number;
}

export function loseHand(hand: Hand): void {
  hand.lost = true;
  hand.abandon.abort();
}

/** Tells a hand that it was cancelled; its step's signal aborts. */
export function cancelHand(hand: Hand, by: string): void {
  hand.record.cancelledBy ??= by;
  hand.cancel.abort();
}

export interface LeaseOptions {
  store: Store;
  clock: Clock;
  log: Logger;
  owner: string;
  leaseMs: number;
}

/** Renews every sixth of a lease until the signal aborts, and gives up what has less than a sixth left. */
export async function keepLeases(
  hands: ReadonlyMap<string, Hand>,
  options: LeaseOptions,
  signal: AbortSignal,
): Promise<void> {
  const { clock, leaseMs, log } = options;
  const tickMs = leaseMs / 6;
  let renewing = false;
  for (;;) {
    await clock.wait(tickMs, signal).catch(() => {});
    if (signal.aborted) return;
    for (const hand of hands.values()) {
      if (clock.monotonicMs() < hand.leaseUntilMs - tickMs || hand.lost) continue;
      log.warn({ operation: hand.record.id }, 'the database did not answer before the lease ran out: stopped the step');
      loseHand(hand);
    }
    // Not awaited: a question that hangs must not keep the next tick from noticing that time runs out.
    if (hands.size === 0 || renewing) continue;
    renewing = true;
    void renew(hands, options)
      .catch((error: unknown) =>
        log.warn({ problem: toProblem(error).document }, 'cannot renew the leases of operations'),
      )
      .finally(() => {
        renewing = false;
      });
  }
}

async function renew(hands: ReadonlyMap<string, Hand>, { store, clock, owner, leaseMs }: LeaseOptions): Promise<void> {
  const asked = [...hands.values()].filter((hand) => !hand.lost);
  const askedMs = clock.monotonicMs();
  const renewed = await renewLeases(
    store,
    owner,
    leaseMs,
    asked.map(({ record }) => record.id),
  );
  for (const hand of asked) {
    const lease = renewed.find(({ id }) => id === hand.record.id);
    // Not ours any more; or it has ended or paused meanwhile, and then its hand is empty anyway.
    if (lease === undefined) loseHand(hand);
    else hand.leaseUntilMs = askedMs + leaseMs;
    if (lease !== undefined && lease.cancelledBy !== null) cancelHand(hand, lease.cancelledBy);
  }
}
