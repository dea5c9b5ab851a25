// The history of the votes by day: partitions are made ahead and dropped whole when they are old.
import type { Store } from '../platform/store.ts';
import { removeOldHours } from './store.ts';

const DAY_MS = 86_400_000;
const DAYS_AHEAD = 3;
/** Two weeks, so that a week can be laid beside the one before. */
const KEEP_DAYS = 15;
const NAME = /^vote_round_(\d{8})$/;

const nameOf = (day: Date): string => `vote_round_${day.toISOString().slice(0, 10).replaceAll('-', '')}`;

/** Makes the partitions of the days ahead and drops those that are too old. Safe to run on several controllers at once. */
export async function keepVotes(store: Store, at: Date | null): Promise<{ made: string[]; dropped: string[] }> {
  const [row] = await store.query<{ now: string }>('SELECT coalesce($1::timestamptz, now()) AS now', [at]);
  const today = new Date(Math.floor(Date.parse(row?.now ?? '') / DAY_MS) * DAY_MS);
  const children = await store.query<{ name: string }>(
    `SELECT child.relname AS name FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
     WHERE inhparent = 'vote_round'::regclass`,
  );
  const known = new Set(children.map(({ name }) => name).filter((name) => NAME.test(name)));
  const made: string[] = [];
  for (let ahead = 0; ahead <= DAYS_AHEAD; ahead += 1) {
    const [from, to] = [new Date(today.getTime() + ahead * DAY_MS), new Date(today.getTime() + (ahead + 1) * DAY_MS)];
    const name = nameOf(from);
    if (known.has(name)) continue;
    // A day that has begun in the partition for all others stays there.
    const [taken] = await store.query('SELECT 1 FROM vote_round_other WHERE at >= $1 AND at < $2 LIMIT 1', [from, to]);
    if (taken !== undefined) continue;
    await store.script(
      `CREATE TABLE IF NOT EXISTS ${name} PARTITION OF vote_round FOR VALUES FROM ('${from.toISOString()}') TO ('${to.toISOString()}')`,
    );
    made.push(name);
  }
  const oldest = new Date(today.getTime() - KEEP_DAYS * DAY_MS);
  const dropped = [...known].filter((name) => name < nameOf(oldest));
  for (const name of dropped) await store.script(`DROP TABLE IF EXISTS ${name}`);
  await store.query('DELETE FROM vote_round_other WHERE at < $1', [oldest]);
  await removeOldHours(store, oldest.getTime());
  return { made, dropped };
}
