// Begins rolls, pauses and resumes them. Everything that can be known beforehand is refused here, before anything changes.
import { z } from 'zod';
import { commonProblems } from '../../lib/errors.ts';
import type { Asker, Operation } from '../../platform/operations/operation.ts';
import type { Sql } from '../../platform/store.ts';
import { assertMemory } from '../../servers/room.ts';
import { listServers } from '../../servers/store.ts';
import { nameOfImage, type PoolParts, poolLock } from '../parts.ts';
import { poolProblems } from '../problems.ts';
import { listNodes, listPools, readPool } from '../store.ts';
import type { RollParams } from './roll.ts';
import { insertRoll, type RollRow, readRunningRoll, storePausedBy } from './store.ts';

/** What a person says of a roll. */
export const newRollSchema = z.strictObject({
  image: z.int().min(1).optional().describe("The image's number; the newest unless told"),
  strategy: z.enum(['canary', 'rolling', 'additional-batch', 'immutable']).default('canary'),
  batch: z.int().min(1).max(100).optional().describe('Nodes at once; a quarter of the pool unless told'),
  bakeTimeS: z.int().min(0).max(86_400).default(90).describe('How long the first new nodes are watched'),
});
export type NewRoll = z.infer<typeof newRollSchema>;

/** What a roll would do, for people. */
export interface RollPlan {
  params: RollParams;
  sentences: string[];
}

/** Looks at everything that the roll needs; refuses with the reason, or gives the plan. */
export async function planRoll(parts: PoolParts, sql: Sql, name: string, wish: NewRoll): Promise<RollPlan> {
  const pool = await readPool(sql, name);
  if (pool === undefined) throw commonProblems.make('not-found', { noun: 'pool', name });
  if (pool.worksFor !== null) throw poolProblems.make('roll-its-pool', { pool: name, worksFor: pool.worksFor });
  if (pool.state !== 'ready') throw poolProblems.make('not-ready', { pool: name, state: pool.state });
  const to = wish.image ?? (await parts.readNewestImage(sql, pool.app, pool.dedicatedTo)).number;
  await parts.readFingerprint(sql, pool.app, to);
  await parts.assertFor(sql, { app: pool.app, number: to }, pool);
  const nodes = await listNodes(sql, { pool: name });
  const image = `${pool.app}/${to}`;
  if (pool.imageNumber === to && nodes.every((node) => node.imageNumber === to))
    throw poolProblems.make('has-image', { pool: name, image });
  const draining = (await listServers(sql)).find(
    (server) => server.state === 'draining' && nodes.some((node) => node.server === server.name),
  );
  if (draining !== undefined)
    throw poolProblems.make('draining', { pool: name, what: `the server ${draining.name} is being drained` });
  if (pool.otherImage !== null)
    throw poolProblems.make('two-images', { pool: name, other: nameOfImage(pool.app, pool.otherImage) });
  const leaving = nodes.find((node) => node.state === 'draining');
  if (leaving !== undefined)
    throw poolProblems.make('draining', { pool: name, what: `the node ${leaving.name} is leaving: ${leaving.reason}` });
  const { strategy } = wish;
  const batch = wish.batch ?? Math.max(1, Math.floor(pool.wanted / 4));
  // Without a node more, the batch that leaves must leave others to serve.
  const most = strategy === 'rolling' ? pool.wanted - 1 : pool.wanted;
  if (batch > most) throw poolProblems.make('too-small', { pool: name, wanted: pool.wanted, batch, strategy });
  const more = { canary: batch + 1, rolling: 0, 'additional-batch': batch, immutable: pool.wanted }[strategy];
  await assertMemory(sql, { memoryMb: pool.nodeMemoryMb, count: more });
  const workers = (await listPools(sql)).find((one) => one.worksFor === name)?.name ?? null;
  const bakeMs = wish.bakeTimeS * 1000;
  const params = { pool: name, workers, app: pool.app, from: pool.imageNumber, to, strategy, batch, bakeMs };
  const sentences = [
    `${pool.wanted} nodes of ${name} go from ${pool.app}/${pool.imageNumber} to ${image}.`,
    strategy === 'rolling'
      ? `${batch} at a time leave and come back new: ${pool.wanted - batch} serve meanwhile.`
      : `At most ${more} more than ${pool.wanted} live at once (${more * pool.nodeMemoryMb} MB); never fewer serve.`,
    `The first new nodes are watched for ${wish.bakeTimeS} s; when they serve worse, all goes back to ${pool.app}/${pool.imageNumber}.`,
    ...(workers === null ? [] : [`The workers of ${workers} follow.`]),
  ];
  return { params, sentences };
}

/** Stores the roll and begins `pool.roll`, in the caller's transaction. */
export async function startRoll(
  parts: PoolParts,
  sql: Sql,
  name: string,
  wish: NewRoll,
  who: Asker,
): Promise<Operation> {
  const running = await readRunningRoll(sql, name);
  if (running !== undefined)
    throw poolProblems.make('rolling', { pool: name, image: `${running.app}/${running.toImage}`, why: running.reason });
  const { params } = await planRoll(parts, sql, name, wish);
  const operation = await parts.operations.start(sql, 'pool.roll', params, who);
  const { pool, app, from, to, strategy, batch } = params;
  const reason = 'about to begin';
  await insertRoll(sql, {
    ...{ id: operation.id, pool, app, fromImage: from, toImage: to, strategy, batch, bakeS: wish.bakeTimeS, reason },
  });
  const event = { kind: 'pool.roll-begun', subject: poolLock(pool), by: who.by, data: { from, to, strategy } };
  await parts.events.append(sql, { ...event, reason: who.reason ?? `to ${app}/${to} by ${strategy}` });
  return operation;
}

/** The pool's roll that is under way; `pool.not-rolling` otherwise. */
export async function readRollUnderWay(sql: Sql, pool: string): Promise<RollRow> {
  const roll = await readRunningRoll(sql, pool);
  if (roll === undefined) throw poolProblems.make('not-rolling', { pool });
  return roll;
}

/** Pauses before the next batch, or goes on. The gates are watched meanwhile as well. */
export async function setPaused(parts: PoolParts, pool: string, paused: boolean, who: Asker): Promise<RollRow> {
  return parts.store.transaction(async (sql) => {
    const roll = await readRollUnderWay(sql, pool);
    await storePausedBy(sql, roll.id, paused ? who.by : null);
    const kind = paused ? 'pool.roll-paused' : 'pool.roll-resumed';
    const reason = who.reason ?? (paused ? `paused by ${who.by}` : `${who.by} lets it go on`);
    await parts.events.append(sql, { kind, subject: poolLock(pool), by: who.by, reason });
    return readRollUnderWay(sql, pool);
  });
}
