// Deletes a pool without sites: its nodes, the volume of uploads, its directories on the servers.
import { z } from 'zod';
import { commonProblems, Problem } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { changeConfig, takeConfigVersion } from '../servers/config-clock.ts';
import { removeContent } from './content.ts';
import { removeAllNodes, removeDirectories } from './create.ts';
import { BACKUPS_PATH, contentVolume, type PoolParts, poolLock } from './parts.ts';
import { poolProblems } from './problems.ts';
import { startMissing } from './start-nodes.ts';
import { deletePool, listNodes, listPools, readPool, storePoolState, storePoolWanted } from './store.ts';
import { waitUntilServing } from './wait.ts';

const paramsSchema = z.object({ pool: z.string(), deleteBackups: z.boolean(), before: z.int() });
type Params = z.infer<typeof paramsSchema>;

/** Begins `pool.delete` in the caller's transaction; refused while sites live on the pool. */
export async function startPoolDelete(
  parts: PoolParts,
  sql: Sql,
  { name, deleteBackups }: { name: string; deleteBackups: boolean },
  who: Asker,
): Promise<Operation> {
  // As a site's creation does: whichever comes second sees the other.
  await takeConfigVersion(sql);
  const pool = await readPool(sql, name);
  if (pool === undefined) throw commonProblems.make('not-found', { noun: 'pool', name });
  const sites = await parts.countSites(sql, name);
  if (sites > 0) throw poolProblems.make('in-use', { pool: name, sites });
  const workers = (await listPools(sql)).find((one) => one.worksFor === name);
  if (workers !== undefined) throw poolProblems.make('has-workers', { pool: name, workers: workers.name });
  const operation = await parts.operations.start(
    sql,
    'pool.delete',
    { pool: name, deleteBackups, before: pool.wanted },
    who,
  );
  await storePoolState(sql, name, 'deleting');
  return operation;
}

/** The operation `pool.delete`. */
export function makePoolDelete(parts: PoolParts): OperationKind<Params> {
  const { store, fleet, events } = parts;
  /** True of workers as well, which have none of their own. */
  const isVolumeGone = async (pool: string, signal: AbortSignal): Promise<boolean> =>
    (await readPool(store, pool))?.worksFor != null ||
    ((await readPool(store, pool))?.contentBase == null &&
      (await fleet.volumes.read(contentVolume(pool), { signal })) === undefined);
  return makeOperation<Params>({
    kind: 'pool.delete',
    params: paramsSchema,
    locks: ({ pool }) => [poolLock(pool)],
    title: ({ pool }) => `Delete the pool ${pool}`,
    steps: ({ pool, deleteBackups, before }) => [
      {
        // A pool that has given up its last node is given one, by which its volume can be looked at.
        name: 'node',
        timeoutMs: 600_000,
        async do({ signal, operationId }) {
          if (before > 0 || deleteBackups || (await isVolumeGone(pool, signal))) return;
          const who = { by: `operation:${operationId}`, reason: 'somebody must look for backups before it is deleted' };
          await store.transaction(async (sql) => {
            await storePoolWanted(sql, pool, 1);
            await startMissing(parts, sql, pool, who);
          });
          try {
            await waitUntilServing(parts, pool, signal);
          } catch (thrown) {
            if (!(thrown instanceof Problem) || thrown.retryable) throw thrown;
            throw poolProblems.make('backups-unseen', { pool, why: thrown.document.detail });
          }
        },
        // A pool that has lost its volume stays what it is: half deleted, to be deleted again.
        async undo({ signal }) {
          if (await isVolumeGone(pool, signal)) return;
          await store.transaction(async (sql) => {
            await storePoolState(sql, pool, 'ready');
            await storePoolWanted(sql, pool, before);
          });
          parts.wakeHeal();
        },
      },
      {
        name: 'backups',
        timeoutMs: 60_000,
        async do({ signal }) {
          if (deleteBackups || (await isVolumeGone(pool, signal))) return;
          const files = await countBackups(parts, pool, signal);
          if (files > 0) throw poolProblems.make('holds-backups', { pool, files });
        },
      },
      {
        name: 'nodes',
        timeoutMs: 300_000,
        do: ({ signal, operationId }) =>
          removeAllNodes(parts, pool, { by: `operation:${operationId}`, reason: 'its pool is deleted' }, signal),
      },
      {
        name: 'volume',
        timeoutMs: 60_000,
        async do({ signal }) {
          if (!(await isVolumeGone(pool, signal))) await removeContent(parts, pool, signal);
        },
      },
      { name: 'directories', timeoutMs: 60_000, do: ({ signal }) => removeDirectories(parts, pool, signal) },
      {
        name: 'forget',
        timeoutMs: 60_000,
        async do({ signal }) {
          await changeConfig(store, async (sql) => {
            await deletePool(sql, pool);
            await events.append(sql, { kind: 'pool.deleted', subject: poolLock(pool), by: 'operation' });
          });
          await parts.syncEdges(signal);
        },
      },
    ],
  });
}

/** Final backups of sites' files that lie on the pool's volume. */
async function countBackups(parts: PoolParts, pool: string, signal: AbortSignal): Promise<number> {
  const node = (await listNodes(parts.store, { pool })).find((one) => one.state === 'ready');
  if (node === undefined) throw poolProblems.make('no-node', { pool });
  const argv = ['find', BACKUPS_PATH, '-type', 'f'];
  const { stdout } = await parts.fleet.exec(node.name, argv, { signal });
  return stdout.split('\n').filter((line) => line !== '').length;
}
