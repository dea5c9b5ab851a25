// The loop of the votes: each look casts every vote, decides, keeps the round and begins what was decided by the pools' own
// scaling, in one transaction with the round. Wrong is a pool with a policy whose last round is older than LOOK_MS. Several
// controllers may look: the rows of the policies are taken first, and who comes second sees the rounds and leaves them.
import { Problem } from '../lib/errors.ts';
import type { Sql } from '../platform/store.ts';
import { readNodeFailures } from '../pools/failures.ts';
import { poolLock } from '../pools/parts.ts';
import { startPoolScale } from '../pools/scale.ts';
import type { PoolRow } from '../pools/store.ts';
import { type Round, runRound } from './decide.ts';
import { readFacts, readUnderWay, type Seen, toSituation } from './gather.ts';
import type { VotesParts } from './parts.ts';
import { type CastRound, type PolicyRow, readTimeOfPolicies, storeRounds, takePolicies } from './store.ts';

export const LOOK_MS = 1_000;
/** A round of another controller that is younger than this needs no second one. */
const SAME_MS = 500;
/** New nodes that failed before this no longer count. */
const FAILURE_WINDOW_MS = 7_200_000;

/** Which pools grow now or have grown within their jitter. */
function listGrowing(rows: readonly PolicyRow[]): string[] {
  return rows
    .filter(({ round, now, policy }) => {
      if (round === null) return false;
      const recent = Date.parse(now) - round.atMs < Math.max(10_000, policy.jitterS * 1_000);
      return recent && (round.growSinceMs !== null || round.decision === 'grow');
    })
    .map(({ pool }) => pool);
}

/** Whether a round belongs into the history now: at its interval, and at once when a vote or the decision is another. */
export function isNews(row: Pick<PolicyRow, 'keptAt' | 'round' | 'policy'>, round: Round): boolean {
  if (row.keptAt === null || row.round === null) return true;
  if (round.atMs - Date.parse(row.keptAt) >= row.policy.intervalS * 1_000) return true;
  const sign = ({ votes, decision, wanted, size, ready, booting }: Round) =>
    JSON.stringify([decision, wanted, size, ready, booting, votes.map(({ node, vote }) => [node, vote])]);
  return sign(row.round) !== sign(round);
}

interface Counted {
  row: PolicyRow;
  pool: PoolRow;
  round: Round;
}

/** One look at every pool that has a policy; returns what was decided, by pool. */
export async function countVotes(parts: VotesParts, signal: AbortSignal): Promise<Record<string, string>> {
  const decided: Record<string, string> = {};
  const nowMs = await readTimeOfPolicies(parts.store, parts.at());
  if (nowMs === undefined) return decided;
  const failures = await readNodeFailures(parts, { nowMs, windowMs: FAILURE_WINDOW_MS });
  const seen = { underWay: await readUnderWay(parts), failures };
  // The policies' rows are locked, and samples come in all the time: as serializable it would fail for them again and again.
  const { growing, acting } = await parts.store.transaction((sql) => countAll(parts, sql, seen), 'read committed');
  for (const name of acting) {
    signal.throwIfAborted();
    const act = (refused?: Problem) =>
      parts.store.transaction((sql) => actOn(parts, sql, name, { seen, growing, refused }), 'read committed');
    // Refused (a lock that was taken meanwhile, no memory): nothing of it stays, and the round says why.
    const round = await act().catch((thrown: unknown) => {
      if (thrown instanceof Problem && thrown.document.status < 500) return act(thrown);
      throw thrown;
    });
    // The next one sees it at once.
    if (round?.decision === 'grow') growing.push(name);
    if (round !== undefined && round.decision !== 'stay')
      decided[name] = `${round.decision} to ${round.size}: ${round.reason}`;
  }
  return decided;
}

/** Counts all pools at once and keeps the rounds of those that stay as they are; the others are counted again, each by itself. */
async function countAll(parts: VotesParts, sql: Sql, seen: Seen): Promise<{ growing: string[]; acting: string[] }> {
  const rows = await takePolicies(sql, null, parts.at());
  const growing = listGrowing(rows);
  const counted = await count(parts, sql, rows, seen, growing);
  const staying = counted.filter(({ pool, round }) => round.size === pool.wanted);
  await keep(parts, sql, staying);
  return { growing, acting: counted.filter((one) => !staying.includes(one)).map(({ pool }) => pool.name) };
}

async function actOn(
  parts: VotesParts,
  sql: Sql,
  name: string,
  given: { seen: Seen; growing: readonly string[]; refused: Problem | undefined },
): Promise<Round | undefined> {
  const rows = await takePolicies(sql, name, parts.at());
  const [counted] = await count(parts, sql, rows, given.seen, given.growing);
  if (counted === undefined) return undefined;
  const { pool, round } = counted;
  if (round.size !== pool.wanted && given.refused !== undefined) {
    const reason = `${round.reason}, but ${given.refused.document.detail}`;
    Object.assign(round, { decision: 'blocked', reason, size: pool.wanted });
  }
  if (round.size === pool.wanted) {
    await keep(parts, sql, [counted]);
    return round;
  }
  const { id } = await startPoolScale(parts.pools, sql, name, round.size, { by: 'votes', reason: round.reason });
  await keep(parts, sql, [counted], id);
  return round;
}

/** The rounds of those that no other controller has just counted and that were not deleted meanwhile. */
async function count(
  parts: VotesParts,
  sql: Sql,
  rows: readonly PolicyRow[],
  seen: Seen,
  growing: readonly string[],
): Promise<Counted[]> {
  const due = rows.filter(({ round, now }) => round === null || Math.abs(Date.parse(now) - round.atMs) >= SAME_MS);
  if (due.length === 0) return [];
  const facts = await readFacts(parts, sql, due);
  return due.flatMap((row) => {
    const pool = facts.pools.get(row.pool);
    if (pool === undefined) return [];
    const others = growing.filter((name) => name !== row.pool);
    const before = row.round !== null && row.roundVersion === row.version ? row.round : undefined;
    return [{ row, pool, round: runRound(row.policy, toSituation(row, pool, facts, seen, others), before) }];
  });
}

/** Keeps rounds; `operation` is what the only one began. */
async function keep(parts: VotesParts, sql: Sql, counted: readonly Counted[], operation?: string): Promise<void> {
  const resizes = operation !== undefined;
  const cast = counted.map(
    ({ row, pool, round }): CastRound => ({
      ...{ pool: pool.name, version: row.version, round },
      keep: isNews(row, round) || resizes,
      wanted: resizes ? round.size : pool.wanted,
      resized: resizes || row.seenWanted !== pool.wanted,
      operation: operation ?? null,
    }),
  );
  await storeRounds(sql, cast, parts.at());
  for (const { row, pool, round } of counted) {
    // The journal has what was begun, and once what is in the way; what stays as it is fills only the history.
    const news = round.decision === 'blocked' && row.round?.decision !== 'blocked';
    if (!resizes && !news) continue;
    const how = round.decision === 'bounds' ? 'bounded' : round.size > pool.wanted ? 'grows' : 'shrinks';
    const { grow, shrink, voters, reason } = round;
    await parts.events.append(sql, {
      ...{ kind: resizes ? `pool.${how}` : 'pool.not-resized', subject: poolLock(pool.name), by: 'votes', reason },
      data: { from: pool.wanted, to: round.size, grow, shrink, voters },
    });
  }
}
