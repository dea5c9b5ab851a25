// Operations as people and rooms see them: the SQL of reading and listing. Apart from records.ts, which is the driver's.
import { commonProblems } from '../../lib/errors.ts';
import type { Sql } from '../store.ts';
import type { Operation, OperationFilter, OperationView, StepView } from './operation.ts';

const PAGE = 50;
const LARGEST_PAGE = 500;

const DURATION = (from: string, to: string) =>
  `round(extract(epoch from ${to} - ${from}) * 1000)::float8 as "durationMs"`;
const OPERATION = `id, kind, title, state, params, locks, by, reason, waiting, problem, cancelled_by as "cancelledBy",
  created_at as "createdAt", started_at as "startedAt", ended_at as "endedAt", ${DURATION('started_at', 'ended_at')}`;
const STEP = `name, state, attempts, undo_attempts as "undoAttempts", output, lines, problem,
  started_at as "startedAt", ended_at as "endedAt", ${DURATION('started_at', 'ended_at')}`;

/** Throws `common.not-found`. */
export async function readOperation(sql: Sql, id: string): Promise<Operation> {
  const [operation] = await sql.query<Operation>(`select ${OPERATION} from operation where id = $1`, [id]);
  if (operation === undefined) throw commonProblems.make('not-found', { noun: 'operation', name: id });
  return operation;
}

/** With its steps, read after it: the steps of an operation that has ended are its last. */
export async function readOperationView(sql: Sql, id: string): Promise<OperationView> {
  const operation = await readOperation(sql, id);
  const steps = await sql.query<StepView>(
    `select ${STEP} from operation_step where operation_id = $1 order by position`,
    [id],
  );
  return { ...operation, steps };
}

/** Newest first. The page token is the last id of the page, since ids grow with time. */
export async function listOperations(
  sql: Sql,
  filter: OperationFilter,
): Promise<{ items: Operation[]; nextPageToken: string | null }> {
  const limit = Math.min(filter.limit ?? PAGE, LARGEST_PAGE);
  const rows = await sql.query<Operation>(
    `select ${OPERATION} from operation
     where ($1::text[] is null or state = any($1)) and ($2::text is null or kind = $2)
       and ($3::text[] is null or locks @> $3) and ($4::text is null or id < $4)
     order by id desc limit $5`,
    [filter.states, filter.kind, filter.lock === undefined ? null : [filter.lock], filter.pageToken, limit + 1],
  );
  const items = rows.slice(0, limit);
  return { items, nextPageToken: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
}
