// Reading runs for people: what waits and lives, and the history. The hot paths have their own SQL in their own files.
import type { Sql } from '../platform/store.ts';

/** A run, whether it waits, lives or has ended. */
export interface RunView {
  id: number | null;
  task: string;
  site: string;
  taskName: string;
  kind: string;
  state: string;
  dueAt: string;
  /** For skips: how many ticks, from `dueAt` on. */
  ticks: number;
  attempt: number;
  epoch: number | null;
  server: string | null;
  node: string | null;
  enqueuedAt: string | null;
  startedAt: string | null;
  endedAt: string | null;
  /** Empty when there is nothing to say beyond its state. */
  reason: string;
  /** See placement.ts. */
  placement: string | null;
  cause: string | null;
  code: number | null;
  signal: string | null;
  cpuS: number | null;
  peakMemoryBytes: number | null;
}

const NAMES = `coalesce(site.name, h.site) AS site, coalesce(task.name, h.task) AS "taskName"`;
const JOINS = 'LEFT JOIN task ON task.id = h.task LEFT JOIN site ON site.id = h.site';
const PRESENT = `h.id, h.task, ${NAMES}, h.kind, h.state, h.due_at AS "dueAt", 1 AS ticks, h.attempt, h.epoch, h.server, h.node,
  h.enqueued_at AS "enqueuedAt", h.started_at AS "startedAt", NULL::timestamptz AS "endedAt", h.why AS reason, h.placement,
  NULL AS cause, NULL::int AS code, NULL AS signal, NULL::float8 AS "cpuS", NULL::float8 AS "peakMemoryBytes"`;
const PAST = `h.id, h.task, ${NAMES}, h.kind, h.state, h.due_at AS "dueAt", h.ticks, h.attempt, h.epoch, h.server, h.node,
  h.enqueued_at AS "enqueuedAt", h.started_at AS "startedAt", h.ended_at AS "endedAt", h.why AS reason, h.placement,
  h.cause, h.code, h.signal, h.cpu_s AS "cpuS", h.peak_memory_bytes AS "peakMemoryBytes"`;

/** What waits and lives, by id. */
export function listPresentRuns(
  sql: Sql,
  page: { after: number; limit: number; task?: string | undefined },
): Promise<RunView[]> {
  return sql.query<RunView>(
    `SELECT ${PRESENT} FROM run AS h ${JOINS} WHERE h.id > $1 AND ($3::text IS NULL OR h.task = $3) ORDER BY h.id LIMIT $2`,
    [page.after, page.limit, page.task ?? null],
  );
}

/** Of one task, the newest end first; `before` is the end to go on from. */
export function listPastRuns(
  sql: Sql,
  page: { task: string; before: string | undefined; limit: number },
): Promise<RunView[]> {
  return sql.query<RunView>(
    `SELECT ${PAST} FROM run_history AS h ${JOINS} WHERE h.task = $1 AND ($2::timestamptz IS NULL OR h.ended_at < $2)
     ORDER BY h.ended_at DESC LIMIT $3`,
    [page.task, page.before ?? null, page.limit],
  );
}

export async function readRun(sql: Sql, id: number): Promise<RunView | undefined> {
  const [present] = await sql.query<RunView>(`SELECT ${PRESENT} FROM run AS h ${JOINS} WHERE h.id = $1`, [id]);
  if (present !== undefined) return present;
  const [past] = await sql.query<RunView>(`SELECT ${PAST} FROM run_history AS h ${JOINS} WHERE h.id = $1`, [id]);
  return past;
}

/** The end of an ended run's output. */
export async function readTail(sql: Sql, id: number): Promise<string> {
  const [row] = await sql.query<{ tail: string | null }>('SELECT tail FROM run_history WHERE id = $1', [id]);
  return row?.tail ?? '';
}

/** How many runs a node has, or is about to have. */
export async function countRunsOn(sql: Sql, node: string): Promise<number> {
  const [row] = await sql.query<{ count: number }>(
    `SELECT count(*) AS count FROM run WHERE node = $1 AND state IN ('leased', 'running')`,
    [node],
  );
  return row?.count ?? 0;
}

/** How many wait, live, and the worst wait of those that are open, seconds. */
export async function readCounts(sql: Sql): Promise<{ queued: number; open: number; leased: number; running: number }> {
  const [row] = await sql.query<{ queued: number; open: number; leased: number; running: number }>(
    `SELECT count(*) FILTER (WHERE state = 'queued') AS queued, count(*) FILTER (WHERE state = 'queued' AND open) AS open,
       count(*) FILTER (WHERE state = 'leased') AS leased, count(*) FILTER (WHERE state = 'running') AS running FROM run`,
  );
  return row ?? { queued: 0, open: 0, leased: 0, running: 0 };
}
