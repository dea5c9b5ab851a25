// Stops the deployment, keeping all data, or removes it. In both cases healing rests first.
import { z } from 'zod';
import { deleteAllEdges } from '../edge/store.ts';
import { deleteAllSeeds } from '../images/seed-store.ts';
import { deleteAllImages } from '../images/store.ts';
import { listAll, UNDER_WAY } from '../platform/operations/list-all.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import { askerOf } from '../platform/operations/run-child.ts';
import { deleteAllRolls } from '../pools/roll/store.ts';
import { deleteAllPools } from '../pools/store.ts';
import { releaseAllAddresses } from '../servers/addresses.ts';
import { deleteAllServices } from '../services/store.ts';
import { deleteAllSites } from '../sites/store.ts';
import { deleteAllWaves } from '../waves/store.ts';
import { stopContainers } from './containers.ts';
import { DEPLOYMENT_LOCK, type DeploymentParts } from './parts.ts';
import { resetDeployment, storeWanted } from './store.ts';

/** How long operations under way get to take back what they did. */
const OTHERS_MS = 60_000;

const paramsSchema = z.object({});
type Params = z.infer<typeof paramsSchema>;

/** Begins `deployment.stop` or `deployment.destroy`. */
export function startEnd(
  parts: DeploymentParts,
  kind: 'deployment.stop' | 'deployment.destroy',
  who: Asker,
): Promise<Operation> {
  return parts.store.transaction((sql) => parts.operations.start(sql, kind, {}, who));
}

const makeRest = (parts: DeploymentParts) => ({
  name: 'rest',
  timeoutMs: 30_000,
  async do() {
    await storeWanted(parts.store, 'down');
    await parts.onChange();
  },
});

/** The operation `deployment.stop`. */
export function makeDeploymentStop(parts: DeploymentParts): OperationKind<Params> {
  return makeOperation<Params>({
    kind: 'deployment.stop',
    params: paramsSchema,
    locks: () => [DEPLOYMENT_LOCK],
    title: () => `Stop ${parts.name}`,
    steps: () => [
      makeRest(parts),
      {
        name: 'containers',
        timeoutMs: 300_000,
        do: async ({ signal }) => ({ stopped: await stopContainers(parts.fleet, signal) }),
      },
    ],
  });
}

/** The operation `deployment.destroy`: everything in Incus that is ours, and all rows; the command line removes the rest. */
export function makeDeploymentDestroy(parts: DeploymentParts): OperationKind<Params> {
  const { store, operations, sites } = parts;
  return makeOperation<Params>({
    kind: 'deployment.destroy',
    params: paramsSchema,
    locks: () => [DEPLOYMENT_LOCK],
    title: () => `Destroy ${parts.name}`,
    steps: () => [
      makeRest(parts),
      {
        name: 'others',
        timeoutMs: OTHERS_MS + 30_000,
        async do(ctx) {
          const bound = AbortSignal.any([ctx.signal, AbortSignal.timeout(OTHERS_MS)]);
          const underWay = await listAll(operations, { states: UNDER_WAY });
          const others = underWay.filter(({ id }) => id !== ctx.operationId);
          const { by } = askerOf(ctx);
          await Promise.all(others.map(({ id }) => operations.cancel(id, by).catch(() => undefined)));
          // What cannot be undone now finds its things gone.
          await Promise.allSettled(others.map(({ id }) => operations.wait(id, bound)));
        },
      },
      { name: 'remove', timeoutMs: 900_000, do: ({ signal }) => parts.fleet.tearDown({ signal }) },
      {
        name: 'forget',
        timeoutMs: 60_000,
        async do(ctx) {
          await store.transaction(async (sql) => {
            await deleteAllSites(sql);
            await deleteAllPools(sql);
            await deleteAllRolls(sql);
            await deleteAllWaves(sql);
            await deleteAllEdges(sql);
            await deleteAllServices(sql, 'database');
            await deleteAllServices(sql, 'cache');
            await deleteAllSeeds(sql);
            await deleteAllImages(sql);
            await releaseAllAddresses(sql);
            await sites.secrets.removeAll(sql, '');
            await resetDeployment(sql);
          });
          const stuck = await listAll(operations, { states: ['fatal'] });
          for (const { id } of stuck) await operations.release(id, askerOf(ctx).by);
          await parts.onChange();
        },
      },
    ],
  });
}
