// The loop of the votes: each look casts every vote, decides, keeps the round and begins what was decided by the pools' own
// scaling, in one transaction with the round. Wrong is a pool with a policy whose last round is older than LOOK_MS. Several
// controllers may look: the row of the policy is taken first, and who comes second sees the round and leaves it.
import { Problem } from '../lib/errors.ts';
import type { Sql } from '../platform/store.ts';
import { poolLock } from '../pools/parts.ts';
import { startPoolScale } from '../pools/scale.ts';
import { readPool } from '../pools/store.ts';
import { type Round, runRound } from './decide.ts';
import { gather, readFailures, readUnderWay } from './gather.ts';
import type { VotesParts } from './parts.ts';
import { listPolicies, type PolicyRow, storeRound, takePolicy } from './store.ts';

export const LOOK_MS = 1_000;
/** A round of another controller that is younger than this needs no second one. */
const SAME_MS = 500;

/** Which pools grow now or have grown within a jitter of any pool, but for one itself. */
function listGrowing(rows: readonly PolicyRow[], but: string): string[] {
  return rows
    .filter(({ pool, round, now, policy }) => {
      if (pool === but || round === null) return false;
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

/** One look at every pool that has a policy; returns what was decided, by pool. */
export async function countVotes(parts: VotesParts, signal: AbortSignal): Promise<Record<string, string>> {
  const rows = await listPolicies(parts.store, parts.at());
  const decided: Record<string, string> = {};
  if (rows.length === 0) return decided;
  const underWay = await readUnderWay(parts);
  const failures = await readFailures(parts, Date.parse(rows[0]?.now ?? ''));
  for (const { pool } of rows) {
    signal.throwIfAborted();
    const seen = { others: listGrowing(rows, pool), underWay, failures: failures.get(pool) };
    // The policy's row is locked, and samples come in all the time: as serializable it would fail for them again and again.
    const look = (refused?: Problem) =>
      parts.store.transaction((sql) => countPool(parts, sql, pool, seen, refused), 'read committed');
    // Refused (a lock that was taken meanwhile, no memory): nothing of it stays, and the round says why.
    const round = await look().catch((thrown: unknown) => {
      if (thrown instanceof Problem && thrown.document.status < 500) return look(thrown);
      throw thrown;
    });
    if (round !== undefined && round.decision !== 'stay')
      decided[pool] = `${round.decision} to ${round.size}: ${round.reason}`;
  }
  return decided;
}

async function countPool(
  parts: VotesParts,
  sql: Sql,
  name: string,
  seen: Parameters<typeof gather>[4],
  refused: Problem | undefined,
): Promise<Round | undefined> {
  const at = parts.at();
  const row = await takePolicy(sql, name, at);
  const pool = await readPool(sql, name);
  // Deleted meanwhile.
  if (row === undefined || pool === undefined) return undefined;
  const nowMs = Date.parse(row.now);
  if (row.round !== null && Math.abs(nowMs - row.round.atMs) < SAME_MS) return undefined;
  const before = row.round !== null && row.roundVersion === row.version ? row.round : undefined;
  const round = runRound(row.policy, await gather(parts, sql, row, pool, seen), before);
  const acts = round.size !== pool.wanted;
  if (acts && refused !== undefined) {
    Object.assign(round, {
      decision: 'blocked',
      reason: `${round.reason}, but ${refused.document.detail}`,
      size: pool.wanted,
    });
  }
  const resizes = round.size !== pool.wanted;
  const operation = resizes
    ? await startPoolScale(parts.pools, sql, name, round.size, { by: 'votes', reason: round.reason })
    : undefined;
  await storeRound(sql, row, round, {
    ...{ at, keep: isNews(row, round) || resizes, wanted: resizes ? round.size : pool.wanted },
    resized: resizes || row.seenWanted !== pool.wanted,
    operation: operation?.id ?? null,
  });
  // The journal has what was begun, and once what is in the way; what stays as it is fills only the history.
  const news = round.decision === 'blocked' && row.round?.decision !== 'blocked';
  if (resizes || news) {
    await parts.events.append(sql, {
      kind: resizes
        ? `pool.${round.decision === 'bounds' ? 'bounded' : round.size > pool.wanted ? 'grows' : 'shrinks'}`
        : 'pool.not-resized',
      subject: poolLock(name),
      by: 'votes',
      reason: round.reason,
      data: { from: pool.wanted, to: round.size, grow: round.grow, shrink: round.shrink, voters: round.voters },
    });
  }
  return round;
}
