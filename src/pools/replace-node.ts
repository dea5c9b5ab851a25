// Puts a new node in the place of one that serves: the new one first, so that the pool never has fewer. The pool's lock keeps
// healing from taking the one that is too many meanwhile.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import { askerOf, runChild } from '../platform/operations/run-child.ts';
import type { Sql } from '../platform/store.ts';
import { listGenerations } from './generations.ts';
import { nodeLock, type PoolParts, poolLock } from './parts.ts';
import { poolProblems } from './problems.ts';
import { RUNS_S } from './remove-node.ts';
import { makeNodeName, startNode, startRemoval } from './start-nodes.ts';
import { readNode, readPool } from './store.ts';

const paramsSchema = z.object({
  ...{ node: z.string(), pool: z.string(), anew: z.string(), why: z.string() },
  /** For the runs of the one that leaves. */
  patienceS: z.int().min(0).default(RUNS_S),
});
type Params = z.infer<typeof paramsSchema>;

/** Begins `node.replace` in the caller's transaction. */
export async function startReplacement(
  parts: PoolParts,
  sql: Sql,
  name: string,
  who: Asker,
  patienceS = RUNS_S,
): Promise<Operation> {
  const node = await readNode(sql, name);
  if (node === undefined) throw commonProblems.make('not-found', { noun: 'node', name });
  const pool = await readPool(sql, node.pool);
  if (pool?.state !== 'ready') throw poolProblems.make('not-ready', { pool: node.pool, state: pool?.state ?? 'gone' });
  const why = who.reason ?? 'a person asked for another in its place';
  const params = { node: name, pool: node.pool, anew: makeNodeName(node.pool), why, patienceS };
  return parts.operations.start(sql, 'node.replace', params, who);
}

/** The operation `node.replace`. */
export function makeNodeReplace(parts: PoolParts): OperationKind<Params> {
  const { store } = parts;
  return makeOperation<Params>({
    kind: 'node.replace',
    params: paramsSchema,
    locks: ({ pool }) => [poolLock(pool)],
    title: ({ node, pool }) => `Replace the node ${node} of ${pool}`,
    steps: ({ node: name, pool: poolName, anew, why, patienceS }) => [
      {
        name: 'make',
        timeoutMs: 300_000,
        async do(ctx) {
          if ((await readNode(store, anew))?.state === 'ready') return;
          const before = await readNode(store, name);
          const pool = await readPool(store, poolName);
          if (pool === undefined) throw commonProblems.make('not-found', { noun: 'pool', name: poolName });
          const own = listGenerations(pool).find(({ generation }) => generation === before?.generation);
          const { generation, imageNumber } = own ?? pool;
          const who = { ...askerOf(ctx), reason: `it takes the place of ${name}: ${why}` };
          const begin = (sql: Sql) =>
            startNode(parts, sql, { pool: poolName, imageNumber, generation, name: anew }, who);
          await runChild(parts, { kind: 'node.create', lock: nodeLock(anew), begin }, ctx.signal);
        },
      },
      {
        name: 'remove',
        timeoutMs: 180_000 + patienceS * 1000,
        async do(ctx) {
          const begin = async (sql: Sql): Promise<Operation> => {
            const node = await readNode(sql, name);
            if (node === undefined) throw commonProblems.make('not-found', { noun: 'node', name });
            return startRemoval(parts, sql, node, false, { ...askerOf(ctx), reason: why }, { patienceS });
          };
          if ((await readNode(store, name)) === undefined) return;
          await runChild(parts, { kind: 'node.remove', lock: nodeLock(name), begin }, ctx.signal);
        },
      },
    ],
  });
}
