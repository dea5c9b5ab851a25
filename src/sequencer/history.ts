// History by day: partitions are made ahead and dropped whole when they are old, so that forgetting costs nothing and leaves
// nothing to clean. What ended on a day without a partition lies in one for all others, and is deleted by age.
import type { Store } from '../platform/store.ts';
import type { SequencerParts } from './parts.ts';
import { readTime } from './time.ts';

const DAY_MS = 86_400_000;
const DAYS_AHEAD = 3;
const NAME = /^run_history_(\d{4})(\d\d)(\d\d)$/;

const nameOf = (day: Date): string => `run_history_${day.toISOString().slice(0, 10).replaceAll('-', '')}`;

/** Makes the partitions of the days ahead and drops those that are too old. Safe to run on several controllers at once. */
export async function keepHistory(
  parts: Pick<SequencerParts, 'store' | 'time' | 'settings'>,
): Promise<{ made: string[]; dropped: string[] }> {
  const { store, time, settings } = parts;
  const now = await readTime(store, time);
  const today = new Date(Math.floor(now.getTime() / DAY_MS) * DAY_MS);
  const known = new Set(await listPartitions(store));
  const made: string[] = [];
  for (let ahead = 0; ahead <= DAYS_AHEAD; ahead += 1) {
    const day = new Date(today.getTime() + ahead * DAY_MS);
    const name = nameOf(day);
    if (known.has(name)) continue;
    const next = new Date(day.getTime() + DAY_MS);
    // What has ended on that day already stays where it is, and so does that day.
    const [taken] = await store.query(
      'SELECT 1 FROM run_history_other WHERE ended_at >= $1 AND ended_at < $2 LIMIT 1',
      [day, next],
    );
    if (taken !== undefined) continue;
    await store.script(
      `CREATE TABLE IF NOT EXISTS ${name} PARTITION OF run_history FOR VALUES FROM ('${day.toISOString()}') TO ('${next.toISOString()}')`,
    );
    made.push(name);
  }
  const oldest = new Date(today.getTime() - settings.historyDays * DAY_MS);
  const dropped = [...known].filter((name) => name < nameOf(oldest));
  for (const name of dropped) await store.script(`DROP TABLE IF EXISTS ${name}`);
  await store.query('DELETE FROM run_history_other WHERE ended_at < $1', [oldest]);
  return { made, dropped };
}

async function listPartitions(store: Store): Promise<string[]> {
  const rows = await store.query<{ name: string }>(
    `SELECT child.relname AS name FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
     WHERE inhparent = 'run_history'::regclass`,
  );
  return rows.map((row) => row.name).filter((name) => NAME.test(name));
}
