// Takes one node away: no new visitors, the requests and the runs of tasks under way end, then the container goes. With `force` (a node that
// is dead already) nothing is waited for. Never undone: a node that began to leave leaves, and the heal loop makes another.
import { z } from 'zod';
import { makeOperation, type OperationKind } from '../platform/operations/operation.ts';
import { releaseAddresses } from '../servers/addresses.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { isOutOfReach } from '../servers/store.ts';
import { nodeLock, type PoolParts, tellServer } from './parts.ts';
import { keepNodeLog } from './roll/keep-log.ts';
import { deleteNodes, readNode, storeNodeState } from './store.ts';

/** The usual wait for runs of tasks. */
export const RUNS_S = 120;

const paramsSchema = z.object({
  node: z.string(),
  pool: z.string(),
  force: z.boolean(),
  why: z.string(),
  /** It failed: its last words are kept when its container goes. */
  keepLog: z.boolean().default(false),
  /** How long runs of tasks are waited for; beyond it they are killed with the node, and tried again elsewhere as their tasks say. */
  patienceS: z.int().min(0).default(RUNS_S),
});
type Params = z.infer<typeof paramsSchema>;

/** Longest wait for requests under way. */
const DRAIN_MS = 60_000;
const DRAIN_POLL_MS = 250;

/** The operation `node.remove`. */
export function makeNodeRemove(parts: PoolParts): OperationKind<Params> {
  const { store, fleet, events } = parts;
  const ANY = ['booting', 'ready', 'draining', 'unhealthy', 'lost'] as const;

  async function leave(name: string, atEdge: boolean, reason: string): Promise<void> {
    await changeConfig(store, async (sql) => {
      await storeNodeState(sql, name, { from: ANY, to: 'draining', atEdge, reason });
    });
  }

  return makeOperation<Params>({
    kind: 'node.remove',
    params: paramsSchema,
    locks: ({ node }) => [nodeLock(node)],
    title: ({ node, pool }) => `Remove the node ${node} of ${pool}`,
    steps: ({ node: name, force, why, keepLog, patienceS }) => [
      {
        name: 'drain',
        timeoutMs: 30_000,
        async do({ signal }) {
          await leave(name, !force, why);
          await parts.syncEdges(signal);
          // From now on its agent takes no more runs for it.
          await tellServer(parts, (await readNode(store, name))?.server, signal);
        },
      },
      {
        name: 'runs',
        timeoutMs: patienceS * 1000 + 30_000,
        async do({ signal, say }) {
          const untilMs = parts.clock.monotonicMs() + (force ? 0 : patienceS * 1000);
          for (let told = false; ; told = true) {
            const runs = await parts.countRuns(store, name);
            if (runs === 0 || force) return;
            if (parts.clock.monotonicMs() > untilMs) {
              say(`${runs} runs of tasks were still under way after ${patienceS} s; they end with the node`);
              return;
            }
            if (!told) say(`waits for ${runs} runs of tasks`);
            await parts.clock.wait(DRAIN_POLL_MS, signal);
          }
        },
      },
      {
        name: 'unregister',
        timeoutMs: DRAIN_MS + 30_000,
        async do({ signal, say }) {
          await leave(name, false, why);
          const polls = force ? 1 : DRAIN_MS / DRAIN_POLL_MS;
          for (let poll = 0; poll < polls; poll += 1) {
            const { leaving } = await parts.syncEdges(signal);
            if (!leaving.includes(name)) return;
            await parts.clock.wait(DRAIN_POLL_MS, signal);
          }
          say(`requests were still under way after ${DRAIN_MS / 1000} s`);
        },
      },
      {
        name: 'container',
        timeoutMs: 120_000,
        async do({ signal, say }) {
          const node = await readNode(store, name);
          // Its server was fenced meanwhile: what is there is removed before that is ready again.
          if (node === undefined || (await isOutOfReach(store, node.server)))
            return say('its container stays until its server is back and cleaned');
          if (keepLog) await keepNodeLog(parts, name, why, signal);
          const instance = await fleet.instances.read(name, { signal });
          if (instance?.labels.kind !== 'seed') return await fleet.instances.delete(name, { force: true, signal });
          // A seed that staged a site is a seed again, with all that was changed in it.
          await fleet.instances.updateDevices(name, { eth0: { kind: 'nic' } }, { signal });
          await fleet.instances.restart(name, { force: true, signal });
        },
      },
      {
        name: 'forget',
        timeoutMs: 30_000,
        async do({ signal }) {
          const node = await readNode(store, name);
          await changeConfig(store, async (sql) => {
            await deleteNodes(sql, name);
            await releaseAddresses(sql, name);
            if (node === undefined) return;
            await events.append(sql, { kind: 'node.removed', subject: nodeLock(name), by: 'operation', reason: why });
          });
          parts.wakeHeal();
          await tellServer(parts, node?.server, signal);
        },
      },
    ],
  });
}
