// The moves of a roll: so many nodes of an image, fewer of the others, and the way back. Each looks at what is there and
// does what is missing, so that it may be begun again at any point.
import { commonProblems, Problem, toProblem } from '../../lib/errors.ts';
import { listAll, UNDER_WAY } from '../../platform/operations/list-all.ts';
import type { StepContext } from '../../platform/operations/operation.ts';
import { askerOf, runChild } from '../../platform/operations/run-child.ts';
import { nodeLock, type PoolParts } from '../parts.ts';
import { poolProblems } from '../problems.ts';
import { startNode, startRemoval } from '../start-nodes.ts';
import { listNodes, type NodeRow, readNode, readPool } from '../store.ts';

const isLiving = ({ state }: NodeRow): boolean => state === 'booting' || state === 'ready';

type Bound = Pick<StepContext, 'operationId' | 'signal'>;

/**
 * Brings the living nodes of an image to `count` and waits until they serve. Throws the problem of one that could not be
 * made, and `pool.nodes-missing` (retryable) when one went away meanwhile.
 */
export async function bringTo(
  parts: PoolParts,
  wish: { pool: string; imageNumber: number; count: number; reason: string },
  ctx: Bound,
): Promise<void> {
  const { store, operations } = parts;
  const { pool, imageNumber, count, reason } = wish;
  const mine = async (sql = store as Parameters<typeof listNodes>[0]) =>
    (await listNodes(sql, { pool })).filter((node) => node.imageNumber === imageNumber && isLiving(node));
  const who = { ...askerOf(ctx as StepContext), reason };
  await store.transaction(async (sql) => {
    for (let there = (await mine(sql)).length; there < count; there += 1)
      await startNode(parts, sql, { pool, imageNumber }, who);
  });
  const booting = (await mine()).filter(({ state }) => state === 'booting');
  const underWay = await listAll(operations, { kind: 'node.create', states: UNDER_WAY });
  const making = underWay.filter(({ params }) =>
    booting.some(({ name }) => name === (params as { node?: string }).node),
  );
  const ended = await Promise.all(making.map(({ id }) => operations.wait(id, ctx.signal)));
  const failed = ended.find(({ state }) => state !== 'succeeded');
  if (failed !== undefined) {
    if (failed.problem !== null) throw new Problem({ ...failed.problem, retryable: false });
    throw poolProblems.make('node-broken', { pool, why: `${failed.title} was ${failed.state}` });
  }
  const ready = (await mine()).filter(({ state }) => state === 'ready').length;
  if (ready < count) throw poolProblems.make('nodes-missing', { pool, ready, wanted: count, why: reason });
}

/** Takes nodes away, all at once; one that does not serve is not waited for. */
export async function removeNodes(
  parts: PoolParts,
  nodes: readonly NodeRow[],
  reason: string,
  ctx: Bound,
  keepLog = false,
): Promise<void> {
  const who = { ...askerOf(ctx as StepContext), reason };
  await Promise.all(
    nodes.map(async ({ name }) => {
      if ((await readNode(parts.store, name)) === undefined) return;
      const begin = async (sql: Parameters<typeof readNode>[0]) => {
        const node = await readNode(sql, name);
        if (node === undefined) throw commonProblems.make('not-found', { noun: 'node', name });
        const isDead = node.state !== 'ready' && node.state !== 'draining';
        return startRemoval(parts, sql, node, isDead, who, { keepLog });
      };
      try {
        await runChild(parts, { kind: 'node.remove', lock: nodeLock(name), begin }, ctx.signal);
      } catch (thrown) {
        ctx.signal.throwIfAborted();
        // That a node does not go is not the new image's fault, and it has left the edge: it is tried again.
        throw poolProblems.make('node-stays', { node: name, why: toProblem(thrown).document.detail }, thrown);
      }
    }),
  );
}

/** Nodes of a pool by whether they have the image; the oldest first. */
export async function readSides(
  parts: PoolParts,
  pool: string,
  imageNumber: number,
): Promise<{ fresh: NodeRow[]; old: NodeRow[] }> {
  const nodes = await listNodes(parts.store, { pool });
  return {
    fresh: nodes.filter((node) => node.imageNumber === imageNumber),
    old: nodes.filter((node) => node.imageNumber !== imageNumber),
  };
}

/**
 * Brings a pool back to the old image. The new nodes leave at once while enough old ones serve; otherwise old ones are made first,
 * since a bad node is better than none. Their logs are kept.
 */
export async function goBack(
  parts: PoolParts,
  roll: { pool: string; from: number; to: number },
  why: string,
  ctx: Bound,
): Promise<void> {
  const { store, operations } = parts;
  const { pool, from, to } = roll;
  const wanted = (await readPool(store, pool))?.wanted ?? 0;
  const { fresh, old } = await readSides(parts, pool, to);
  for (const { name } of fresh) {
    const making = await operations.list({ lock: nodeLock(name), kind: 'node.create', states: UNDER_WAY });
    for (const { id } of making.items) {
      await operations.cancel(id, askerOf(ctx as StepContext).by).catch(() => undefined);
      await operations.wait(id, ctx.signal);
    }
  }
  const leave = async (): Promise<void> => {
    await removeNodes(parts, (await readSides(parts, pool, to)).fresh, `back to image ${from}: ${why}`, ctx, true);
  };
  const reason = `back to image ${from}: ${why}`;
  const make = (count: number) => bringTo(parts, { pool, imageNumber: from, count, reason }, ctx);
  const serving = old.filter(({ state }) => state === 'ready').length;
  const enough = Math.min(wanted, Math.max(1, Math.ceil(wanted / 2)));
  if (serving < enough) await make(enough);
  // Enough serve: where one cannot be made now, healing makes it, with its pauses, when this operation is over.
  const refilled = make(wanted).catch(() => ctx.signal.throwIfAborted());
  await Promise.all([leave(), refilled]);
  const surplus = (await readSides(parts, pool, to)).old.filter(({ state }) => state === 'ready');
  await removeNodes(parts, surplus.slice(0, Math.max(0, surplus.length - wanted)), reason, ctx);
}
