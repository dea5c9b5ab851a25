// Puts a copy of a site on a seed, so that what is changed there can be looked at with real data before it is baked. The seed
// becomes the only node of a pool of its own, which nobody heals, scales or rolls (state `staging`), and the copy a clone on it
// whose mail and hooks are held back. Taken off again, the seed is what it was.
import { z } from 'zod';
import { seedLock } from '../images/parts.ts';
import { readReadySeed } from '../images/seed-bake.ts';
import { seedInstance } from '../images/seed-store.ts';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import { askerOf, runChild } from '../platform/operations/run-child.ts';
import type { Sql } from '../platform/store.ts';
import { removeDirectories } from '../pools/create.ts';
import { AGENT_CALL_MS, contentVolume, poolLock, tellServer } from '../pools/parts.ts';
import { poolProblems } from '../pools/problems.ts';
import {
  deleteNodes,
  deletePool,
  insertNode,
  insertPool,
  readNode,
  storeNodePlace,
  storeNodeState,
  storePoolState,
} from '../pools/store.ts';
import { syncNode } from '../pools/sync.ts';
import { allocateAddress, releaseAddresses } from '../servers/addresses.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { newCloneSchema, startSiteClone } from './clone.ts';
import { type SiteParts, siteLock } from './parts.ts';
import { siteProblems } from './problems.ts';
import { readSite } from './store.ts';
import { removeStaged } from './unstage.ts';

/** What a person says of a copy on a seed. */
export const newStagingSchema = newCloneSchema
  .pick({ hosts: true })
  .extend({ site: z.string().describe('Whose copy it is'), name: newCloneSchema.shape.name.optional() });
export type NewStaging = z.infer<typeof newStagingSchema>;

const paramsSchema = z.object({
  seed: z.string(),
  source: z.string(),
  sourceName: z.string(),
  name: z.string(),
  hosts: z.array(z.string()),
});
type Params = z.infer<typeof paramsSchema>;

const CLONE_MS = 3_600_000;
const PROBE_MS = 60_000;
const SEED_MEMORY_MB = 512;

/** The pool of which a seed is the only node; it has the container's name. */
export const stagingPool = seedInstance;

/** Begins `seed.stage` in the caller's transaction. */
export async function startStaging(
  parts: SiteParts,
  sql: Sql,
  seedName: string,
  wish: NewStaging,
  who: Asker,
): Promise<Operation> {
  const seed = await readReadySeed(sql, seedName);
  const source = await readSite(sql, wish.site);
  if (source === undefined) throw commonProblems.make('not-found', { noun: 'site', name: wish.site });
  if (source.app !== seed.recipe)
    throw siteProblems.make('wrong-pool', { pool: `of the seed ${seedName}`, app: source.app });
  const name = wish.name ?? `${source.name}-${seedName}`.slice(0, 39);
  const existing = await readSite(sql, name);
  if (existing !== undefined) throw siteProblems.make('taken', { name, state: existing.state });
  const pool = stagingPool(seedName);
  if ((await readNode(sql, pool)) !== undefined) throw poolProblems.make('taken', { pool });
  await insertPool(sql, {
    ...{ name: pool, app: seed.recipe, kind: 'dedicated', dedicatedTo: null, limits: {}, worksFor: null },
    ...{ imageNumber: seed.imageNumber, wanted: 1, maxSites: 1, nodeMemoryMb: SEED_MEMORY_MB },
  });
  await insertNode(sql, {
    name: pool,
    pool,
    ...{ imageNumber: seed.imageNumber, generation: 0 },
    reason: `the seed ${seedName} stages ${source.name}`,
  });
  const params = { seed: seedName, source: source.id, sourceName: source.name, name, hosts: wish.hosts };
  return parts.operations.start(sql, 'seed.stage', params, who);
}

/** The operation `seed.stage`. */
export function makeStaging(parts: SiteParts): OperationKind<Params> {
  const { store, events } = parts;
  const { fleet, agents } = parts.pools;
  return makeOperation<Params>({
    kind: 'seed.stage',
    params: paramsSchema,
    locks: ({ seed }) => [seedLock(seed), poolLock(stagingPool(seed))],
    title: ({ seed, sourceName }) => `Stage a copy of ${sourceName} on the seed ${seed}`,
    steps: ({ seed, source, name, hosts }) => {
      const node = stagingPool(seed);
      const readPlaced = async () => {
        const row = await readNode(store, node);
        if (row?.server == null || row.address === null)
          throw commonProblems.make('not-found', { noun: 'node', name: node });
        return { ...row, server: row.server, address: row.address };
      };
      return [
        {
          name: 'place',
          timeoutMs: 60_000,
          async do({ signal }) {
            const instance = await fleet.instances.read(node, { signal });
            if (instance === undefined) throw commonProblems.make('not-found', { noun: 'seed', name: seed });
            const cidr = await parts.pools.readCidr();
            await store.transaction(async (sql) => {
              if ((await readNode(sql, node))?.address != null) return;
              const address = await allocateAddress(sql, cidr, { instance: node, server: instance.server });
              const placement = `it is the seed ${seed}`;
              await storeNodePlace(sql, node, { server: instance.server, address, placement });
            });
          },
          async undo({ signal }) {
            const row = await readNode(store, node);
            await changeConfig(store, async (sql) => {
              await deleteNodes(sql, node);
              await releaseAddresses(sql, node);
              await deletePool(sql, node);
            });
            await tellServer(parts.pools, row?.server, signal);
            await removeDirectories(parts.pools, node, signal);
            await parts.pools.syncEdges(signal);
          },
        },
        {
          name: 'volume',
          timeoutMs: 60_000,
          async do({ signal }) {
            const volume = contentVolume(node);
            if ((await fleet.volumes.read(volume, { signal })) !== undefined) return;
            const { server } = await readPlaced();
            await fleet.volumes.create(
              { name: volume, labels: { kind: 'content', pool: node }, shifted: true, server },
              { signal },
            );
          },
          undo: ({ signal }) => fleet.volumes.delete(contentVolume(node), { signal }),
        },
        {
          name: 'container',
          timeoutMs: 120_000,
          async do({ signal }) {
            const { server, address } = await readPlaced();
            const call = { timeoutMs: AGENT_CALL_MS, signal };
            const { configDir } = await agents.call(server, 'pool.prepare', { pool: node }, call);
            const devices = {
              eth0: { kind: 'nic' as const, ipv4Address: address },
              config: { kind: 'disk' as const, source: configDir, path: '/etc/espalier', readonly: true, shift: true },
              content: { kind: 'volume' as const, volume: contentVolume(node), path: '/srv/content' },
            };
            await fleet.instances.updateDevices(node, devices, { signal });
            // Its address comes with a boot.
            await fleet.instances.restart(node, { force: true, signal });
          },
          async undo({ signal }) {
            if ((await fleet.instances.read(node, { signal })) === undefined) return;
            await fleet.instances.updateDevices(node, { eth0: { kind: 'nic' } }, { signal });
            await fleet.instances.restart(node, { force: true, signal });
          },
        },
        {
          name: 'configure',
          timeoutMs: 60_000,
          do: async ({ signal }) => syncNode(parts.pools, await readPlaced(), signal),
        },
        {
          name: 'probe',
          timeoutMs: PROBE_MS,
          async do({ signal }) {
            const { server, address } = await readPlaced();
            const target = { address, host: 'health.invalid', path: '/.espalier/health', contains: 'ok' };
            const answer = await agents.call(server, 'node.probe', target, { timeoutMs: AGENT_CALL_MS, signal });
            if (!answer.ok) throw poolProblems.make('not-healthy', { node, why: answer.detail });
          },
        },
        {
          name: 'register',
          timeoutMs: 60_000,
          async do({ signal }) {
            await changeConfig(store, async (sql) => {
              const reason = 'it answers its health page';
              await storeNodeState(sql, node, { from: ['booting', 'ready'], to: 'ready', atEdge: true, reason });
              await storePoolState(sql, node, 'staging');
            });
            await parts.pools.syncEdges(signal);
          },
          async undo({ signal }) {
            await changeConfig(store, async (sql) => {
              const reason = 'its staging failed';
              await storeNodeState(sql, node, {
                from: ['booting', 'ready', 'unhealthy'],
                to: 'draining',
                atEdge: false,
                reason,
              });
            });
            await parts.pools.syncEdges(signal);
          },
        },
        {
          name: 'clone',
          timeoutMs: CLONE_MS,
          async do(ctx) {
            const existing = await readSite(store, name);
            if (existing?.state === 'ready') return;
            const wish = { name, hosts, pool: node, holdHooks: true };
            const begin = (sql: Sql) => startSiteClone(parts, sql, source, wish, askerOf(ctx), true);
            await runChild(parts, { kind: 'site.clone', lock: siteLock(existing?.id ?? node), begin }, ctx.signal);
          },
          undo: (ctx) => removeStaged(parts, node, ctx),
        },
        {
          name: 'note',
          timeoutMs: 10_000,
          async do({ operationId }) {
            const by = `operation:${operationId}`;
            await events.append(store, { kind: 'seed.staged', subject: seedLock(seed), by, data: { site: name } });
          },
        },
      ];
    },
  });
}
