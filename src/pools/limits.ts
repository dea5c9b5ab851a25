// What one node of a pool may use at most, in the engine's words; and the change of it on nodes that live. A disk only ever
// grows on a living node: what is on it would not fit otherwise.
import { z } from 'zod';
import type { Device } from '../engines/fleet.ts';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { type PoolParts, poolLock } from './parts.ts';
import { poolProblems } from './problems.ts';
import { listNodes, type NodeLimits, readPool, storePoolLimits } from './store.ts';

export const nodeLimitsSchema = z.strictObject({
  cpus: z.number().min(0.1).max(512).multipleOf(0.1).optional().describe('Processors, also a fraction of one'),
  memoryMb: z.int().min(64).max(4_194_304).optional(),
  processes: z.int().min(32).max(1_000_000).optional(),
  diskGib: z.int().min(1).max(65_536).optional().describe("Of the node's own disk: code, logs, temporary files"),
});

const paramsSchema = z.object({ pool: z.string(), limits: nodeLimitsSchema, before: nodeLimitsSchema });
type Params = z.infer<typeof paramsSchema>;

const CPU_PERIOD_MS = 100;
const KEYS = ['limits.cpu.allowance', 'limits.memory', 'limits.processes'] as const;

/** As the engine's configuration; a limit that is not wanted is null. A share of time, not cores: it may be a fraction. */
export function renderLimits(limits: NodeLimits): Record<(typeof KEYS)[number], string | null> {
  const { cpus, memoryMb, processes } = limits;
  return {
    'limits.cpu.allowance': cpus === undefined ? null : `${Math.round(cpus * CPU_PERIOD_MS)}ms/${CPU_PERIOD_MS}ms`,
    'limits.memory': memoryMb === undefined ? null : `${memoryMb}MiB`,
    'limits.processes': processes === undefined ? null : String(processes),
  };
}

/** The same for a node that is made: only what is set. */
export const renderNewLimits = (limits: NodeLimits): Record<string, string> =>
  Object.fromEntries(
    Object.entries(renderLimits(limits)).flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
  );

/** The node's own disk, when it has a bound. */
export const renderDisk = ({ diskGib }: NodeLimits): Record<string, Device> =>
  diskGib === undefined ? {} : { root: { kind: 'root', sizeGib: diskGib } };

/** Without what is not set, for an event. */
const toWords = (limits: NodeLimits): Record<string, number> =>
  Object.fromEntries(Object.entries(limits).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));

/** Begins `pool.limit` in the caller's transaction. What `limits` does not name stays; null takes a limit away. */
export async function startPoolLimit(
  parts: PoolParts,
  sql: Sql,
  name: string,
  wish: { [K in keyof NodeLimits]?: NodeLimits[K] | null },
  who: Asker,
): Promise<Operation> {
  const pool = await readPool(sql, name);
  if (pool === undefined) throw commonProblems.make('not-found', { noun: 'pool', name });
  if (pool.state !== 'ready') throw poolProblems.make('not-ready', { pool: name, state: pool.state });
  const all = Object.entries({ ...pool.limits, ...wish }).filter(([, value]) => value != null);
  const limits = nodeLimitsSchema.parse(Object.fromEntries(all));
  const [had, wants] = [pool.limits.diskGib, limits.diskGib];
  if (wants !== undefined && (had === undefined || wants < had))
    throw poolProblems.make('disk-shrinks', { pool: name, hadGib: had ?? 0, wantsGib: wants });
  return parts.operations.start(sql, 'pool.limit', { pool: name, limits, before: pool.limits }, who);
}

/** The operation `pool.limit`: new nodes have it from the first step on, those that live from the second. */
export function makePoolLimit(parts: PoolParts): OperationKind<Params> {
  const { store, fleet, events } = parts;
  return makeOperation<Params>({
    kind: 'pool.limit',
    params: paramsSchema,
    locks: ({ pool }) => [poolLock(pool)],
    title: ({ pool }) => `Change what the nodes of ${pool} may use`,
    steps: ({ pool, limits, before }) => {
      const apply = async (wanted: NodeLimits, signal: AbortSignal): Promise<void> => {
        await storePoolLimits(store, pool, wanted);
        for (const { name } of await listNodes(store, { pool })) {
          const instance = await fleet.instances.read(name, { signal });
          if (instance === undefined) continue;
          await fleet.instances.updateConfig(name, { config: renderLimits(wanted) }, { signal });
          const { root: _root, ...others } = instance.devices;
          if (wanted.diskGib === before.diskGib && wanted.diskGib === limits.diskGib) continue;
          await fleet.instances.updateDevices(name, { ...others, ...renderDisk(wanted) }, { signal });
        }
      };
      return [
        {
          name: 'apply',
          timeoutMs: 120_000,
          do: ({ signal }) => apply(limits, signal),
          undo: ({ signal }) => apply(before, signal),
        },
        {
          name: 'note',
          timeoutMs: 10_000,
          async do({ operationId }) {
            const by = `operation:${operationId}`;
            await events.append(store, { kind: 'pool.limited', subject: poolLock(pool), by, data: toWords(limits) });
          },
        },
      ];
    },
  });
}
