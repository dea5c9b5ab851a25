// Takes back what nobody renews. Wrong is a leased or running row whose lease has not been renewed for a lease and its grace, so
// that the process has been killed on its server by then.
//
// How long that is, the controller measures itself: it looks at the leases twice a second and notes when, by its own monotonic clock,
// it first saw each in its present state. So a database whose clock jumps ahead takes nothing from a run that lives, and one whose
// clock jumps back keeps nothing that is dead. A controller that has just started waits for one lease and grace anew.
import type { Clock } from '../lib/clock.ts';
import { recordEnds } from './end.ts';
import type { SequencerParts } from './parts.ts';

interface Seen {
  epoch: number;
  leaseUntil: string;
  sinceMs: number;
}

/**
 * Its server may be frozen, and would kill the run only after it has gone on for a moment. So the run is not taken back before the
 * server is fenced at the databases, or somebody else hears it.
 */
const IN_DOUBT = `server.state = 'lost' AND NOT server.alive OR server.state = 'fenced' AND server.fenced_at IS NULL`;

/** From a renewal to the look that sees it, from the end to the look that sees that, and to the next choice: all within the grace. */
const LOOKS_MS = 1_500;

/** Makes the look: each call ends as lost what was not renewed for long enough; the task says whether it is tried again. */
export function makeReclaim(parts: SequencerParts & { clock: Clock }): () => Promise<{ live: number; lost: number }> {
  const { store, settings, clock } = parts;
  let seen = new Map<number, Seen>();
  const result = {
    ...{ cause: 'reclaimed' as const, code: null, signal: null, cpuS: null, peakMemoryBytes: null },
    ...{ startedAt: null, endedAt: null, tail: '' },
  };
  return async () => {
    const rows = await store.query<{ id: number; epoch: number; leaseUntil: string; inDoubt: boolean }>(
      `SELECT run.id, run.epoch, run.lease_until AS "leaseUntil", coalesce(${IN_DOUBT}, false) AS "inDoubt"
       FROM run LEFT JOIN server ON server.name = run.server WHERE run.open AND run.state <> 'queued'`,
    );
    // After the answer: the leases are at least as old as that.
    const nowMs = clock.monotonicMs();
    const before = seen;
    seen = new Map(
      rows.map(({ id, epoch, leaseUntil }) => {
        const known = before.get(id);
        const same = known?.epoch === epoch && known.leaseUntil === leaseUntil;
        return [id, { epoch, leaseUntil, sinceMs: same ? known.sinceMs : nowMs }];
      }),
    );
    const doubted = new Set(rows.flatMap(({ id, inDoubt }) => (inDoubt ? [id] : [])));
    const over = [...seen].filter(
      ([id, { sinceMs }]) => !doubted.has(id) && nowMs - sinceMs >= settings.leaseMs + settings.graceMs - LOOKS_MS,
    );
    let lost = 0;
    for (let from = 0; from < over.length; from += settings.batch) {
      const ends = over
        .slice(from, from + settings.batch)
        .map(([id, { epoch, leaseUntil }]) => ({ id, epoch, leaseUntil, result }));
      lost += (await recordEnds(parts, ends)).ended;
    }
    return { live: rows.length, lost };
  };
}
