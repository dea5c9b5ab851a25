// Makes a pool: a volume for uploads, then its nodes, until all of them serve.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { listAll, UNDER_WAY } from '../platform/operations/list-all.ts';
import type { Asker, Operation } from '../platform/operations/operation.ts';
import { makeOperation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { assertMemory } from '../servers/room.ts';
import { listServers, readServer } from '../servers/store.ts';
import { removeContent, storeContentBase } from './content.ts';
import { generationKey, listGenerations } from './generations.ts';
import { chooseHome } from './home.ts';
import { nodeLimitsSchema } from './limits.ts';
import { AGENT_CALL_MS, contentVolume, nodeLock, type PoolParts, poolLock } from './parts.ts';
import { poolProblems } from './problems.ts';
import { startMissing, startRemoval } from './start-nodes.ts';
import {
  deletePool,
  insertPool,
  listNodes,
  listPools,
  type PoolRow,
  readPool,
  storeGenerationWanted,
  storePoolState,
} from './store.ts';
import { waitUntilServing } from './wait.ts';

/** What a person says of a new pool. */
export const newPoolSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,38}$/, 'must be a-z, 0-9 and "-", begin with a letter, 39 characters at most'),
  /** Of a worker pool it may be left out when `worksFor` is given. */
  app: z.string().optional(),
  /** `worker`: its nodes run the tasks of another pool's sites and take no visitors. */
  role: z.enum(['serving', 'worker']).default('serving'),
  /** Of a worker pool: whose tasks. Default: the only pool of the app. */
  worksFor: z.string().optional(),
  size: z.int().min(1).max(100).default(2),
  /** The only site that may live on it: its nodes are that site's alone, and so may the code be. */
  dedicatedTo: z.string().optional(),
  /** What one node may use at most. */
  limits: nodeLimitsSchema.default({}),
  /** Sites that may live on it. */
  maxSites: z.int().min(1).max(2000).default(250),
  /** What a node is expected to use, for placement. */
  nodeMemoryMb: z.int().min(64).max(262_144).default(512),
  /** Its uploads lie on a volume there, and so its nodes are there; else in the folder that servers share, where there is one. */
  server: z.string().optional(),
});
export type NewPool = z.infer<typeof newPoolSchema>;

const paramsSchema = z.object({ pool: z.string(), server: z.string().optional() });
type Params = z.infer<typeof paramsSchema>;

/** Stores the new pool and begins `pool.create`, in the caller's transaction. */
export async function startPoolCreate(parts: PoolParts, sql: Sql, wish: NewPool, who: Asker): Promise<Operation> {
  if ((await readPool(sql, wish.name)) !== undefined) throw poolProblems.make('taken', { pool: wish.name });
  const served = await readServed(sql, wish);
  const site = await readDedicated(parts, sql, wish);
  const app = served?.app ?? site?.app ?? wish.app ?? '';
  // The very image of those that it works for, so that a task finds the same programs.
  const imageNumber = served?.imageNumber ?? (await parts.readNewestImage(sql, app, site?.id)).number;
  await assertMemory(sql, { memoryMb: wish.nodeMemoryMb, count: wish.size });
  await insertPool(sql, {
    name: wish.name,
    app,
    kind: site === undefined ? 'shared' : 'dedicated',
    dedicatedTo: site?.id ?? served?.dedicatedTo ?? null,
    limits: wish.limits,
    worksFor: served?.name ?? null,
    imageNumber,
    wanted: wish.size,
    maxSites: site === undefined ? wish.maxSites : 1,
    nodeMemoryMb: wish.nodeMemoryMb,
  });
  const server = await readHome(sql, wish);
  return parts.operations.start(
    sql,
    'pool.create',
    { pool: wish.name, ...(server === undefined ? {} : { server }) },
    who,
  );
}

/** The server that was asked for; undefined when none was. */
async function readHome(sql: Sql, { server: name, role }: NewPool): Promise<string | undefined> {
  if (name === undefined) return undefined;
  const bad = (why: string) => commonProblems.make('invalid-input', { where: 'server', why });
  if (role === 'worker') throw bad('workers are where the uploads of those that they work for are');
  const server = await readServer(sql, name);
  if (server === undefined) throw commonProblems.make('not-found', { noun: 'server', name });
  if (server.state !== 'ready') throw bad(`${name} is ${server.state}: ${server.reason}`);
  return name;
}

/** The site to which the pool is to be dedicated; undefined for one that many share. */
async function readDedicated(parts: PoolParts, sql: Sql, wish: NewPool) {
  if (wish.dedicatedTo === undefined) return undefined;
  const bad = (why: string) => commonProblems.make('invalid-input', { where: 'dedicatedTo', why });
  if (wish.role === 'worker') throw bad("workers of a dedicated pool run that site's tasks and no others anyway");
  const site = await parts.findSite(sql, wish.dedicatedTo);
  if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name: wish.dedicatedTo });
  if (wish.app !== undefined && wish.app !== site.app) throw bad(`${site.name} is a site of ${site.app}`);
  return site;
}

/** The pool that a worker pool is to work for; undefined for one that serves. */
async function readServed(sql: Sql, wish: NewPool): Promise<PoolRow | undefined> {
  const bad = (why: string) => commonProblems.make('invalid-input', { where: 'worksFor', why });
  const pools = await listPools(sql);
  if (wish.role === 'serving') {
    if (wish.worksFor !== undefined) throw bad('only a pool with the role worker works for another');
    if (wish.app === undefined && wish.dedicatedTo === undefined)
      throw commonProblems.make('invalid-input', { where: 'app', why: 'name the app' });
    return undefined;
  }
  const may = pools.filter(
    (pool) =>
      pool.worksFor === null && (wish.worksFor ?? pool.name) === pool.name && (wish.app ?? pool.app) === pool.app,
  );
  const [served] = may;
  if (served === undefined)
    throw bad(
      `there is no serving pool ${wish.worksFor ?? ''}${wish.app === undefined ? '' : ` of the app ${wish.app}`}`.replace(
        '  ',
        ' ',
      ),
    );
  if (may.length > 1) throw bad(`say which: ${may.map(({ name }) => name).join(', ')}`);
  if (served.state !== 'ready') throw poolProblems.make('not-ready', { pool: served.name, state: served.state });
  const other = pools.find((pool) => pool.worksFor === served.name);
  if (other !== undefined) throw poolProblems.make('has-workers', { pool: served.name, workers: other.name });
  return served;
}

/** The operation `pool.create`. */
export function makePoolCreate(parts: PoolParts): OperationKind<Params> {
  const { store, fleet, events } = parts;
  const isWorker = async (pool: string): Promise<boolean> => (await readPool(store, pool))?.worksFor != null;
  return makeOperation<Params>({
    kind: 'pool.create',
    params: paramsSchema,
    locks: ({ pool }) => [poolLock(pool)],
    title: ({ pool }) => `Create the pool ${pool}`,
    steps: ({ pool, server: wished }) => [
      {
        name: 'volume',
        timeoutMs: 60_000,
        async do({ signal }) {
          // Workers have the uploads of those that they work for.
          if (await isWorker(pool)) return null;
          if (wished === undefined && (await parts.readSharedFolder(store)) !== undefined) {
            await store.transaction((sql) => storeContentBase(sql, pool));
            return null;
          }
          const there = await fleet.volumes.read(contentVolume(pool), { signal });
          if (there !== undefined) return { server: there.server };
          const server = await chooseHome(parts, pool, wished, signal);
          await fleet.volumes.create(
            { name: contentVolume(pool), labels: { kind: 'content', pool }, shifted: true, server },
            { signal },
          );
          return { server };
        },
        async undo({ signal }) {
          if (!(await isWorker(pool))) await removeContent(parts, pool, signal);
          await changeConfig(store, async (sql) => {
            await deletePool(sql, pool);
          });
          await parts.syncEdges(signal);
        },
      },
      {
        name: 'nodes',
        timeoutMs: 300_000,
        async do({ signal, operationId, say }) {
          const who = { by: `operation:${operationId}` };
          const started = await store.transaction((sql) => startMissing(parts, sql, pool, who));
          if (started.making.length > 0) say(`making ${started.making.length} nodes`);
          await waitUntilServing(parts, pool, signal);
        },
        async undo({ signal, operationId }) {
          const who = { by: `operation:${operationId}`, reason: 'the pool could not be made' };
          await removeAllNodes(parts, pool, who, signal);
          await removeDirectories(parts, pool, signal);
        },
      },
      {
        name: 'open',
        timeoutMs: 10_000,
        async do() {
          await store.transaction(async (sql) => {
            await storePoolState(sql, pool, 'ready');
            await events.append(sql, { kind: 'pool.ready', subject: poolLock(pool), by: 'operation' });
          });
        },
      },
    ],
  });
}

/** Takes all nodes of a pool away and waits until they are gone; those being made are cancelled first. */
export async function removeAllNodes(parts: PoolParts, pool: string, who: Asker, signal: AbortSignal): Promise<void> {
  const { store, operations } = parts;
  await store.transaction(async (sql) => {
    const row = await readPool(sql, pool);
    for (const { generation } of row === undefined ? [] : listGenerations(row))
      await storeGenerationWanted(sql, pool, generation, 0);
  });
  for (const node of await listNodes(store, { pool })) {
    const busy = await listAll(operations, { lock: nodeLock(node.name), states: UNDER_WAY });
    for (const operation of busy) {
      if (operation.kind === 'node.create') await operations.cancel(operation.id, who.by);
      await operations.wait(operation.id, signal);
    }
    const still = (await listNodes(store, { pool })).find((one) => one.name === node.name);
    if (still === undefined) continue;
    const { id } = await store.transaction((sql) => startRemoval(parts, sql, still, true, who));
    await operations.wait(id, signal);
  }
}

/** Removes the directory of a generation, or of all that the pool has, from every server that is not lost; an agent that is away is waited for. */
export async function removeDirectories(
  parts: PoolParts,
  pool: string,
  signal: AbortSignal,
  generation?: number,
): Promise<void> {
  const { agents, store } = parts;
  const row = await readPool(store, pool);
  const all = row === undefined ? [0] : listGenerations(row).map((one) => one.generation);
  const keys = (generation === undefined ? all : [generation]).map((one) => generationKey(pool, one));
  const servers = (await listServers(store)).filter(({ state }) => state === 'ready' || state === 'draining');
  for (const { name: server } of servers)
    for (const key of keys)
      await agents.call(server, 'pool.forget', { pool: key }, { timeoutMs: AGENT_CALL_MS, signal });
}
