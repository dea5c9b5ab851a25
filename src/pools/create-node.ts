// Makes one node: place it, copy the image, boot, configure, probe, let the edge send it visitors. The row stands before
// the operation begins (start-nodes.ts), so that two loops never make the same missing node.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { makeOperation, type OperationKind } from '../platform/operations/operation.ts';
import { allocateAddress, releaseAddresses } from '../servers/addresses.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { choosePlacement } from '../servers/place.ts';
import { isOutOfReach, listServers } from '../servers/store.ts';
import { readContentServer, readSharedContent, renderContent } from './content.ts';
import { generationKey } from './generations.ts';
import { renderDisk, renderNewLimits } from './limits.ts';
import { AGENT_CALL_MS, nodeLock, type PoolParts, tellServer } from './parts.ts';
import { poolProblems } from './problems.ts';
import { assertServesAsWell } from './roll/gates.ts';
import { keepNodeLog } from './roll/keep-log.ts';
import {
  countBooting,
  countNodesOn,
  deleteNodes,
  type NodeRow,
  readNode,
  readPool,
  storeNodePlace,
  storeNodeState,
} from './store.ts';
import { syncNode } from './sync.ts';

const paramsSchema = z.object({ node: z.string(), pool: z.string() });
type Params = z.infer<typeof paramsSchema>;

/** Three looks at some pages of which each may take ten seconds. */
const SERVE_MS = 300_000;

/** The operation `node.create`. */
export function makeNodeCreate(parts: PoolParts): OperationKind<Params> {
  const { store, fleet, agents, events } = parts;

  async function readPlaced(name: string): Promise<NodeRow & { server: string; address: string }> {
    const node = await readNode(store, name);
    if (node?.server == null || node.address === null) throw commonProblems.make('not-found', { noun: 'node', name });
    return { ...node, server: node.server, address: node.address };
  }

  return makeOperation<Params>({
    kind: 'node.create',
    params: paramsSchema,
    locks: ({ node }) => [nodeLock(node)],
    title: ({ node, pool }) => `Make the node ${node} of ${pool}`,
    steps: ({ node: name, pool: poolName }) => [
      {
        name: 'place',
        timeoutMs: 120_000,
        async do() {
          const cidr = await parts.readCidr();
          const sitesOf = (await readNode(store, name))?.sitesOf ?? poolName;
          const only = await readContentServer(parts, sitesOf);
          return store.transaction(async (sql) => {
            const node = await readNode(sql, name);
            const pool = await readPool(sql, poolName);
            if (node === undefined || pool === undefined)
              throw commonProblems.make('not-found', { noun: 'node', name });
            if (node.server !== null) return { server: node.server, reason: node.placement };
            const groupOn = await countNodesOn(sql, poolName);
            const startingOn = new Map<string, number>();
            for (const [server, count] of await countBooting(sql)) if (server !== null) startingOn.set(server, count);
            const wish = { memoryMb: pool.nodeMemoryMb, groupOn, startingOn, ...(only === undefined ? {} : { only }) };
            const choice = choosePlacement(await listServers(sql), wish);
            const address = await allocateAddress(sql, cidr, { instance: name, server: choice.server });
            await storeNodePlace(sql, name, { server: choice.server, address, placement: choice.reason });
            return { server: choice.server, reason: choice.reason };
          });
        },
        async undo({ signal }) {
          const node = await readNode(store, name);
          await changeConfig(store, async (sql) => {
            await deleteNodes(sql, name);
            await releaseAddresses(sql, name);
          });
          await tellServer(parts, node?.server, signal);
        },
      },
      {
        name: 'container',
        timeoutMs: 120_000,
        async do({ signal }) {
          const node = await readPlaced(name);
          const pool = await readPool(store, poolName);
          if (pool === undefined) throw commonProblems.make('not-found', { noun: 'pool', name: poolName });
          const shared = await readSharedContent(parts, store, node.sitesOf);
          const content = renderContent(node.sitesOf, shared);
          const prepared = await agents.call(
            node.server,
            'pool.prepare',
            {
              pool: generationKey(node.sitesOf, node.generation),
              ...(shared === undefined ? {} : { content: shared }),
            },
            { timeoutMs: AGENT_CALL_MS, signal },
          );
          await fleet.instances.ensure(
            {
              name,
              server: node.server,
              source: { image: await parts.readFingerprint(store, pool.app, node.imageNumber) },
              labels: { kind: 'node', pool: poolName, app: pool.app, image: String(node.imageNumber) },
              config: { ...content.config, ...renderNewLimits(pool.limits) },
              devices: {
                ...renderDisk(pool.limits),
                eth0: { kind: 'nic', ipv4Address: node.address },
                config: {
                  kind: 'disk',
                  source: prepared.configDir,
                  path: '/etc/espalier',
                  readonly: true,
                  shift: true,
                },
                content: content.device,
              },
              start: true,
            },
            { signal },
          );
        },
        async undo({ signal, operationId, outputs, say }) {
          const { server } = (outputs.place ?? {}) as { server?: string };
          if (await isOutOfReach(store, server)) return say(`its container stays until ${server} is back and cleaned`);
          const { problem } = await parts.operations.read(operationId);
          await keepNodeLog(parts, name, problem?.detail ?? 'its making failed', signal);
          await fleet.instances.delete(name, { force: true, signal });
        },
      },
      {
        name: 'configure',
        timeoutMs: 60_000,
        do: async ({ signal }) => syncNode(parts, await readPlaced(name), signal),
      },
      {
        name: 'probe',
        timeoutMs: 60_000,
        async do({ signal }) {
          const { server, address } = await readPlaced(name);
          const target = { address, host: 'health.invalid', path: '/.espalier/health', contains: 'ok' };
          const answer = await agents.call(server, 'node.probe', target, { timeoutMs: AGENT_CALL_MS, signal });
          if (!answer.ok) throw poolProblems.make('not-healthy', { node: name, why: answer.detail });
        },
      },
      {
        name: 'serve',
        timeoutMs: SERVE_MS,
        async do({ signal }) {
          const node = await readPlaced(name);
          const pool = await readPool(store, poolName);
          // Only in a roll: its own image has shown that it can serve, and then a node is wanted soon. One of another generation
          // has no site yet.
          if (pool?.generation === node.generation && pool.imageNumber !== node.imageNumber)
            await assertServesAsWell(parts, node, signal);
        },
      },
      {
        name: 'register',
        timeoutMs: 60_000,
        async do({ signal }) {
          await changeConfig(store, async (sql) => {
            const change = {
              from: ['booting', 'ready'] as const,
              to: 'ready' as const,
              atEdge: true,
              reason: 'it answers its health page',
            };
            if (!(await storeNodeState(sql, name, change))) return;
            await events.append(sql, {
              kind: 'node.ready',
              subject: nodeLock(name),
              by: 'operation',
              reason: change.reason,
            });
          });
          await parts.syncEdges(signal);
        },
        async undo({ signal }) {
          await changeConfig(store, async (sql) => {
            const all = ['booting', 'ready', 'draining', 'unhealthy', 'lost'] as const;
            await storeNodeState(sql, name, { from: all, to: 'draining', atEdge: false, reason: 'its making failed' });
          });
          await parts.syncEdges(signal);
        },
      },
    ],
  });
}
