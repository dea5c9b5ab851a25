// Puts the room together: what agents say about runs, and the steps that the loops and the tests call. The story of a run:
// tick (due) → admit (its site's turn) → choose (a server, a lease) → dispatch (its agent) → renew … → end.
import { makeBatcher } from '../lib/batcher.ts';
import type { Clock } from '../lib/clock.ts';
import type { ControllerContract } from '../protocol/contract.ts';
import type { ParamsOf, ResultOf } from '../protocol/peer.ts';
import { admitWaiting } from './admit.ts';
import { makeChooser } from './choose.ts';
import { dispatch } from './dispatch.ts';
import { type RunEnd, recordEnds } from './end.ts';
import { type Ledger, makeLedger } from './ledger.ts';
import type { SequencerParts } from './parts.ts';
import { makeReclaim } from './reclaim.ts';
import { renew } from './renew.ts';
import { type Beat, storeBeats } from './server-store.ts';
import { tellCancelled } from './stop.ts';
import { runTicks } from './tick.ts';

type Heartbeat = ParamsOf<ControllerContract, 'heartbeat'>;
type Report = ParamsOf<ControllerContract, 'runs.report'>;

export interface Sequencer {
  readonly parts: SequencerParts & { clock: Clock };
  readonly ledger: Ledger;
  /** Answers a heartbeat's part about runs. */
  heartbeat(server: string, beat: Heartbeat): Promise<ResultOf<ControllerContract, 'heartbeat'>>;
  /** Takes the ends of runs. */
  report(server: string, report: Report): Promise<ResultOf<ControllerContract, 'runs.report'>>;
  /** An agent went away or came anew: nothing is given to it before its next heartbeat. */
  forget(server: string): void;
  /** Makes all ticks that are due, and opens what has room. */
  tick(signal?: AbortSignal): Promise<{ due: number; runs: number; skips: number; opened: number }>;
  /** Gives runs to servers until no more can be given. The orders go on in the background; see `idle`. */
  choose(signal?: AbortSignal): Promise<{ leased: number }>;
  reclaim(): Promise<{ live: number; lost: number }>;
  /** There may be something to choose. */
  wake(): void;
  /** Resolves when no order to an agent and no batch is under way. */
  idle(): Promise<void>;
}

/** Batches of ends and heartbeats: enough to share a transaction, few enough to answer soon. */
const BATCH_MOST = 1_000;

/** While one batch of ends waits for the disk, another is stored. */
const ENDS_ABREAST = 2;

/** Runs of one moment are chosen together. */
const MOMENT_MS = 20;

/** What a heartbeat says of its server is stored this often: for the brownout and for people that is soon enough. */
const STORE_EVERY_MS = 2_000;

/** `wake` is called when there may be something to choose. */
export function makeSequencer(parts: SequencerParts & { clock: Clock; wake: () => void }): Sequencer {
  const { wake, clock, log } = parts;
  const ledger = makeLedger(clock);
  const chooser = makeChooser({ ...parts, ledger });
  const reclaim = makeReclaim(parts);
  const orders = new Set<Promise<void>>();
  const storedMs = new Map<string, number>();

  // Runs that are open before their time: choose again then. One for each moment.
  const moments = new Set<number>();
  function wakeIn(inMs: number): void {
    const atMs = Math.ceil((clock.monotonicMs() + inMs) / MOMENT_MS) * MOMENT_MS;
    if (moments.has(atMs)) return;
    moments.add(atMs);
    void clock.wait(atMs - clock.monotonicMs()).then(() => {
      moments.delete(atMs);
      chooser.lookWhole();
      wake();
    });
  }

  const renewals = makeBatcher<Beat & { runs: Heartbeat['runs'] }, { lost: number[]; cancelled: number[] }>(
    async (beats) => {
      const answers = await renew(parts, beats);
      const due = beats.filter(
        ({ server }) => clock.monotonicMs() - (storedMs.get(server) ?? -Infinity) >= STORE_EVERY_MS,
      );
      for (const { server } of due) storedMs.set(server, clock.monotonicMs());
      if (due.length > 0) await storeBeats(parts.store, parts.time, due);
      return answers;
    },
    BATCH_MOST,
  );
  const ends = makeBatcher<RunEnd[], void>(
    async (reports) => {
      const { stale } = await recordEnds(parts, reports.flat());
      if (stale > 0)
        log.info({ stale }, 'ends of runs came with an epoch that is no longer theirs; they changed nothing');
      return reports.map(() => undefined);
    },
    BATCH_MOST,
    ENDS_ABREAST,
  );

  return {
    parts,
    ledger,
    async heartbeat(server, { beat, slots, load, runs }) {
      ledger.heard(server, beat, slots, load);
      const { lost, cancelled } = await renewals.add({ server, beat, slots: slots.total, load, runs });
      if (cancelled.length > 0)
        void tellCancelled(
          parts,
          cancelled.map((id) => ({ id, server })),
        );
      if (slots.free > 0) wake();
      return { lost, leaseMs: parts.settings.leaseMs };
    },
    async report(server, { ended }) {
      ledger.gave(server, -ended.length);
      await ends.add(ended);
      wake();
      return { accepted: ended.map(({ id }) => id) };
    },
    forget: (server) => ledger.forget(server),
    async tick(signal) {
      const ticked = await runTicks(
        parts,
        ({ runs, startsInMs }) => {
          for (const inMs of startsInMs) wakeIn(inMs);
          if (runs > 0) wake();
        },
        signal,
      );
      const opened = await admitWaiting(parts);
      if (opened > 0) wake();
      return { ...ticked, opened };
    },
    async choose(signal) {
      let leased = 0;
      async function drain(): Promise<void> {
        for (;;) {
          signal?.throwIfAborted();
          const leases = await chooser.choose();
          if (leases.length === 0) return;
          leased += leases.length;
          const order = dispatch({ ...parts, ledger }, leases);
          orders.add(order);
          void order.finally(() => orders.delete(order));
        }
      }
      // While one batch is stored, another is chosen.
      await Promise.all([drain(), drain()]);
      return { leased };
    },
    async reclaim() {
      const looked = await reclaim();
      if (looked.lost > 0) wake();
      return looked;
    },
    wake,
    async idle() {
      while (orders.size > 0) await Promise.allSettled(orders);
      await Promise.all([renewals.idle(), ends.idle()]);
    },
  };
}
