// Tells the agents which runs are theirs. What they refuse goes back in the order; what they started the next heartbeat names, which
// renews its lease and makes it `running`: a run that is over by then costs no write for that. An order that is not answered
// changes nothing: if it arrived, the heartbeat names the run; if not, its lease ends.
import { toJsonValue } from '../platform/store.ts';
import type { Lease } from './choose.ts';
import { recordEnds, settle } from './end.ts';
import type { Ledger } from './ledger.ts';
import type { SequencerParts } from './parts.ts';
import { NOW } from './time.ts';

const START_TIMEOUT_MS = 5_000;

/** Sends leases to their servers, all at once; resolves when each is answered or not to be. */
export async function dispatch(parts: SequencerParts & { ledger: Ledger }, leases: readonly Lease[]): Promise<void> {
  const byServer = Map.groupBy(leases, (lease) => `${lease.server} ${lease.beat}`);
  await Promise.all([...byServer.values()].map((own) => startOn(parts, own)));
}

async function startOn(parts: SequencerParts & { ledger: Ledger }, leases: readonly Lease[]): Promise<void> {
  const { agents, ledger, settings, log } = parts;
  const [first] = leases;
  if (first === undefined) return;
  const { server, beat } = first;
  ledger.underWay(server, leases.length);
  try {
    const runs = leases.map((lease) => ({
      id: lease.id,
      epoch: lease.epoch,
      task: lease.task,
      node: lease.node,
      site: lease.site,
      uid: lease.uid,
      argv: lease.command,
      timeoutS: lease.timeoutS,
      limits: { cpuPercent: lease.cpuPercent, memoryMb: lease.memoryMb },
      overlapKey: lease.overlapKey,
    }));
    const order = { beat, leaseMs: settings.leaseMs, runs };
    const answer = await agents.call(server, 'runs.start', order, { timeoutMs: START_TIMEOUT_MS });
    if (answer.refused.length > 0) {
      const epochs = new Map(leases.map((lease) => [lease.id, lease.epoch]));
      const toHeld = (id: number) => ({ id, epoch: epochs.get(id) ?? 0 });
      ledger.gave(server, -answer.refused.length);
      await putBack(
        parts,
        server,
        answer.refused.map(({ id, why }) => ({ ...toHeld(id), why })),
      );
    }
  } catch (thrown) {
    log.debug({ err: thrown, server, runs: leases.length }, 'an order of runs was not answered');
  } finally {
    ledger.underWay(server, -leases.length);
  }
}

/** Refused runs wait a little and go back to their site's queue; after many refusals they have failed. */
async function putBack(
  parts: SequencerParts,
  server: string,
  refused: readonly { id: number; epoch: number; why: string }[],
): Promise<void> {
  const { store, time, settings } = parts;
  const hopeless = await store.transaction(async (sql) => {
    const back = await sql.query<{ id: number; site: string; costS: number }>(
      `UPDATE run SET state = 'queued', open = false, refusals = refusals + 1,
         not_before = ${NOW} + make_interval(secs => least($3, 0.1 * 2 ^ refusals)),
         placement = NULL, why = $5 || ' refused it: ' || refused.why
       FROM jsonb_to_recordset($2::jsonb) AS refused (id bigint, epoch bigint, why text)
       WHERE run.id = refused.id AND run.epoch = refused.epoch AND run.state = 'leased'
         AND run.cancelled_by IS NULL AND run.refusals + 1 < $4
         AND NOT EXISTS (SELECT FROM run AS other WHERE other.task = run.task AND other.state = 'queued')
       RETURNING run.id, run.site, run.cost_s AS "costS"`,
      [time.at(), toJsonValue(refused), settings.refusedPauseS, settings.refusalsMost, server],
    );
    // Their sites have not had what they were charged for.
    await settle(
      sql,
      parts,
      back.map(({ site, costS }) => ({ site, beyondS: -costS })),
    );
    const ids = new Set(back.map(({ id }) => id));
    return refused.filter(({ id }) => !ids.has(id));
  }, 'read committed');
  await recordEnds(
    parts,
    hopeless.map(({ id, epoch, why }) => ({
      id,
      epoch,
      result: {
        cause: 'could-not-start' as const,
        code: null,
        signal: null,
        cpuS: null,
        peakMemoryBytes: null,
        startedAt: null,
        endedAt: null,
        tail: why,
      },
    })),
  );
}
