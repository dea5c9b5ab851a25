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
    sql.query<{ id: number; epoch: number; cancelled: boolean }>(
      `UPDATE run SET lease_until = ${LATE} + make_interval(secs => $2), state = 'running', started_at = coalesce(started_at, ${NOW})
     FROM ${renderGiven(['$3::text[]', '$4::bigint[]', '$5::bigint[]'], 'server, id, epoch')} AS held
     WHERE run.id = held.id AND run.epoch = held.epoch AND run.server = held.server AND run.state <> held.waiting
     RETURNING run.id, run.epoch, run.cancelled_by IS NOT NULL AS cancelled`,
      [
        ...[time.at(), settings.leaseMs / 1000],
        ...[held.map(({ server }) => server), held.map(({ id }) => id), held.map(({ epoch }) => epoch)],
      ],
    ),
  );
  const renewed = new Map(rows.map((row) => [`${row.id} ${row.epoch}`, row]));
  return renewals.map(({ runs }) => ({
    lost: runs.filter(({ id, epoch }) => !renewed.has(`${id} ${epoch}`)).map(({ id }) => id),
    cancelled: runs.filter(({ id, epoch }) => renewed.get(`${id} ${epoch}`)?.cancelled === true).map(({ id }) => id),
  }));
}
