// Renewal: each heartbeat names all runs that its server holds, and one statement renews the leases of all heartbeats that
// came together. A run that is not renewed, because its epoch is not the present one or its row is gone, is to be killed. A
// lease that has ended but was not taken back is renewed: nobody else can have the run.
import type { HeldRun } from '../protocol/contract.ts';
import { renderGiven, transactByIndex } from './by-index.ts';
import type { SequencerParts } from './parts.ts';
import { LATE, NOW } from './time.ts';

export interface Renewal {
  server: string;
  runs: readonly HeldRun[];
}

export interface Renewed {
  /** To be killed there now. */
  lost: number[];
  /** Renewed, but somebody cancelled it and it still lives. */
  cancelled: number[];
}

/** Renews leases; the answers in the order of the questions. */
export async function renew(parts: SequencerParts, renewals: readonly Renewal[]): Promise<Renewed[]> {
  const held = renewals.flatMap(({ server, runs }) => runs.map(({ id, epoch }) => ({ server, id, epoch })));
  if (held.length === 0) return renewals.map(() => ({ lost: [], cancelled: [] }));
  const { store, time, settings } = parts;
  const rows = await transactByIndex(store, (sql) =>
    sql.query<{ server: string; id: number; epoch: number; cancelled: boolean }>(
      `UPDATE run SET lease_until = ${LATE} + make_interval(secs => $2), state = 'running', started_at = coalesce(started_at, ${NOW})
     FROM ${renderGiven(['$3::text[]', '$4::bigint[]', '$5::bigint[]'], 'server, id, epoch')} AS held
     WHERE run.id = held.id AND run.epoch = held.epoch AND run.server = held.server AND run.state <> held.waiting
     RETURNING run.server, run.id, run.epoch, run.cancelled_by IS NOT NULL AS cancelled`,
      [
        ...[time.at(), settings.leaseMs / 1000],
        ...[held.map(({ server }) => server), held.map(({ id }) => id), held.map(({ epoch }) => epoch)],
      ],
    ),
  );
  const renewed = new Map(rows.map((row) => [keyOf(row.server, row), row]));
  return renewals.map(({ server, runs }) => {
    const found = runs.map((run) => ({ id: run.id, row: renewed.get(keyOf(server, run)) }));
    return {
      lost: found.filter(({ row }) => row === undefined).map(({ id }) => id),
      cancelled: found.filter(({ row }) => row?.cancelled === true).map(({ id }) => id),
    };
  });
}

/** Two servers may name the same lease, of which only one has it. */
const keyOf = (server: string, { id, epoch }: HeldRun): string => `${id} ${epoch} ${server}`;
