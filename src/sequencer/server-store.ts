// The table `run_server`: what each server's last heartbeat said about runs. The choice uses memory (ledger.ts); this is for the
// brownout, which looks at all servers, and for people.
import { type Sql, toJsonValue } from '../platform/store.ts';
import type { ServerLoad } from '../protocol/contract.ts';
import { NOW, type TimeSource } from './time.ts';

export interface Beat {
  server: string;
  beat: string;
  slots: number;
  load: ServerLoad;
}

/** Stores heartbeats, many in one statement; of a server's several the last. */
export async function storeBeats(sql: Sql, time: TimeSource, beats: readonly Beat[]): Promise<void> {
  const last = new Map(beats.map((one) => [one.server, one]));
  const rows = [...last.values()].map(({ server, beat, slots, load }) => ({
    ...{ server, beat, slots, cpu: load.cpuPressure, memory: load.memoryPressure, io: load.ioPressure },
    free: load.memoryAvailableBytes,
  }));
  await sql.query(
    `INSERT INTO run_server (server, beat, beat_at, slots, cpu_pressure, memory_pressure, io_pressure, memory_free_bytes)
     SELECT server, beat, ${NOW}, slots, cpu, memory, io, free
     FROM jsonb_to_recordset($2::jsonb) AS new (server text, beat text, slots int, cpu float8, memory float8, io float8, free float8)
     ORDER BY server
     ON CONFLICT (server) DO UPDATE SET beat = excluded.beat, beat_at = excluded.beat_at, slots = excluded.slots,
       cpu_pressure = excluded.cpu_pressure, memory_pressure = excluded.memory_pressure,
       io_pressure = excluded.io_pressure, memory_free_bytes = excluded.memory_free_bytes`,
    [time.at(), toJsonValue(rows)],
  );
}
