// Changes how many nodes a pool wants, and sees to it that they are there.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { assertMemory } from '../servers/room.ts';
import { type PoolParts, poolLock } from './parts.ts';
import { poolProblems } from './problems.ts';
import { startMissing } from './start-nodes.ts';
import { readPool, storePoolWanted } from './store.ts';
import { waitUntilServing } from './wait.ts';

const paramsSchema = z.object({ pool: z.string(), size: z.int(), before: z.int() });
type Params = z.infer<typeof paramsSchema>;

/** Begins `pool.scale` in the caller's transaction. */
export async function startPoolScale(
  parts: PoolParts,
  sql: Sql,
  name: string,
  size: number,
  who: Asker,
): Promise<Operation> {
  const pool = await readPool(sql, name);
  if (pool === undefined) throw commonProblems.make('not-found', { noun: 'pool', name });
  if (pool.state !== 'ready') throw poolProblems.make('not-ready', { pool: name, state: pool.state });
  await assertMemory(sql, { memoryMb: pool.nodeMemoryMb, count: Math.max(0, size - pool.wanted) });
  return parts.operations.start(sql, 'pool.scale', { pool: name, size, before: pool.wanted }, who);
}

/** The operation `pool.scale`. When it fails the pool wants what it wanted before. */
export function makePoolScale(parts: PoolParts): OperationKind<Params> {
  const { store, events } = parts;
  return makeOperation<Params>({
    kind: 'pool.scale',
    params: paramsSchema,
    locks: ({ pool }) => [poolLock(pool)],
    title: ({ pool, size }) => `Scale the pool ${pool} to ${size}`,
    steps: ({ pool, size, before }) => [
      {
        name: 'want',
        timeoutMs: 10_000,
        async do({ operationId }) {
          await store.transaction(async (sql) => {
            await storePoolWanted(sql, pool, size);
            const reason = `asked to scale from ${before} to ${size}`;
            await events.append(sql, {
              kind: 'pool.scaled',
              subject: poolLock(pool),
              by: `operation:${operationId}`,
              reason,
            });
          });
        },
        async undo({ operationId }) {
          await store.transaction(async (sql) => {
            await storePoolWanted(sql, pool, before);
            const who = {
              by: `operation:${operationId}`,
              reason: `back to ${before} nodes: scaling to ${size} failed`,
            };
            await startMissing(parts, sql, pool, who);
          });
        },
      },
      {
        name: 'nodes',
        timeoutMs: 600_000,
        async do({ signal, operationId }) {
          const who = { by: `operation:${operationId}` };
          await store.transaction((sql) => startMissing(parts, sql, pool, who));
          await waitUntilServing(parts, pool, signal);
        },
      },
    ],
  });
}
