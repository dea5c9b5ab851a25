// The SQL of the tables operation, operation_step and operation_lock as the driver needs it, and nobody else's. Every
// write names the owner, so that a controller that lost its lease changes nothing.
import type { ProblemDocument } from '../../lib/errors.ts';
import { type Json, type Sql, toJsonValue } from '../store.ts';
import { endStates, type Operation, type OperationState, type StepState } from './operation.ts';

/** A step as the driver holds it in memory while it has the lease. */
export interface StepRecord {
  position: number;
  name: string;
  state: StepState;
  attempts: number;
  undoAttempts: number;
  /** An attempt has begun and its outcome is not stored. */
  open: boolean;
  interruptions: number;
  spentMs: number;
  output: Json;
  lines: string[];
  problem: ProblemDocument | null;
}

export interface OperationRecord {
  id: string;
  kind: string;
  title: string;
  state: OperationState;
  params: Json;
  waiting: Operation['waiting'];
  problem: ProblemDocument | null;
  cancelledBy: string | null;
  isBeside: boolean;
  steps: StepRecord[];
}

const OPEN = `state in ('pending', 'running', 'recovering')`;
const MILLISECOND = `interval '1 millisecond'`;
const STEP_COLUMNS = `position, name, state, attempts, undo_attempts as "undoAttempts", open, interruptions,
  spent_ms as "spentMs", output, lines, problem`;

/** Frees what earlier controllers held; only for one that knows that it is the only one. */
export async function freeAll(sql: Sql): Promise<void> {
  await sql.query(`update operation set owner = null, lease_until = null where ${OPEN} and owner is not null`);
}

/** Begun by a step of another operation, which waits for it (run-child.ts), or urgent. */
const BESIDE = `(starts_with(by, 'operation:') or kind = any($6::text[]))`;
const MOST_CHILDREN = 64;

/**
 * Takes operations of these kinds that are free and whose pause is over, oldest first: up to `limit` of those that people
 * and loops began, and children beyond it, since a parent that waits for its child must not take the child's place. Urgent ones
 * too.
 * `except`: what is in the owner's hands still, although its lease may have run out.
 */
export async function claimOperations(
  sql: Sql,
  claim: {
    owner: string;
    leaseMs: number;
    limit: number;
    kinds: readonly string[];
    /** Of these kinds: taken beside the limit, as those are that others began. */
    urgent: readonly string[];
    except: readonly string[];
  },
): Promise<OperationRecord[]> {
  const free = (which: string, limit: string) =>
    `select id from operation where ${OPEN} and kind = any($3::text[]) and ${which}
       and (lease_until is null or lease_until < clock_timestamp())
       and (wake_at is null or wake_at <= clock_timestamp())
       and id <> all($5::text[])
     order by created_at limit ${limit} for update skip locked`;
  const claimed = await sql.query<Omit<OperationRecord, 'steps'>>(
    `update operation set owner = $1, lease_until = clock_timestamp() + $2 * ${MILLISECOND}
     where id = any(array(${free(`not ${BESIDE}`, '$4')}) || array(${free(BESIDE, String(MOST_CHILDREN))}))
     returning id, kind, title, state, params, waiting, problem, cancelled_by as "cancelledBy", ${BESIDE} as "isBeside"`,
    [claim.owner, claim.leaseMs, claim.kinds, claim.limit, claim.except, claim.urgent],
  );
  if (claimed.length === 0) return [];
  const steps = await sql.query<StepRecord & { operationId: string }>(
    `select operation_id as "operationId", ${STEP_COLUMNS} from operation_step
     where operation_id = any($1::text[]) order by position`,
    [claimed.map(({ id }) => id)],
  );
  const stepsOf = Map.groupBy(steps, ({ operationId }) => operationId);
  return claimed.map((operation) => ({ ...operation, steps: stepsOf.get(operation.id) ?? [] }));
}

/** Prolongs the leases of these operations; returns those that are still this owner's. */
export async function renewLeases(
  sql: Sql,
  owner: string,
  leaseMs: number,
  ids: readonly string[],
): Promise<{ id: string; cancelledBy: string | null }[]> {
  return await sql.query(
    `update operation set lease_until = clock_timestamp() + $2 * ${MILLISECOND}
     where owner = $1 and id = any($3::text[]) returning id, cancelled_by as "cancelledBy"`,
    [owner, leaseMs, ids],
  );
}

/** What `saveOperation` does with the lease: keep it, or free the operation (not before `pauseMs` have passed). */
export type Disposal = 'keep' | { pauseMs: number };

/** Stores the operation and its changed steps. Returns who cancelled it meanwhile, or undefined when the lease is lost. */
export async function saveOperation(
  sql: Sql,
  owner: string,
  record: OperationRecord,
  changed: readonly StepRecord[],
  disposal: Disposal,
): Promise<{ cancelledBy: string | null } | undefined> {
  const ended = endStates.includes(record.state);
  const free = ended || disposal !== 'keep';
  const [saved] = await sql.query<{ cancelledBy: string | null }>(
    `with saved as (
       update operation set state = $3, waiting = nullif($4::jsonb, 'null'), problem = nullif($5::jsonb, 'null'),
         owner = case when $6 then null else owner end,
         lease_until = case when $6 then null else lease_until end,
         wake_at = case when cancelled_by is null then clock_timestamp() + $7 * ${MILLISECOND} end,
         started_at = coalesce(started_at, clock_timestamp()),
         ended_at = case when $8 then clock_timestamp() end
       where id = $1 and owner = $2 returning id, cancelled_by),
     steps as (
       update operation_step as step set state = new.state, attempts = new.attempts, undo_attempts = new."undoAttempts",
         open = new.open, interruptions = new.interruptions, spent_ms = new."spentMs", output = coalesce(new.output, 'null'),
         lines = new.lines, problem = new.problem,
         started_at = coalesce(step.started_at, clock_timestamp()),
         ended_at = coalesce(step.ended_at, case when new.state in ('done', 'failed') then clock_timestamp() end)
       from saved, jsonb_to_recordset($9::jsonb) as new (position int, state text, attempts int, "undoAttempts" int,
         open boolean, interruptions int, "spentMs" int, output jsonb, lines jsonb, problem jsonb)
       where step.operation_id = saved.id and step.position = new.position)
     select cancelled_by as "cancelledBy" from saved`,
    [
      record.id,
      owner,
      record.state,
      toJsonValue(record.waiting),
      toJsonValue(record.problem),
      free,
      disposal === 'keep' ? null : disposal.pauseMs,
      ended,
      toJsonValue(changed),
    ],
  );
  // A fatal operation keeps its locks: nobody knows the state of what it was about.
  if (saved !== undefined && ended && record.state !== 'fatal') {
    await sql.query('delete from operation_lock where operation_id = $1', [record.id]);
  }
  return saved;
}
