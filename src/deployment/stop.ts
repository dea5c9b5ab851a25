// Stops the deployment, keeping all data, or removes it. In both cases healing rests first.
import { z } from 'zod';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import { stopContainers } from './containers.ts';
import { DEPLOYMENT_LOCK, type DeploymentParts } from './parts.ts';
import { storeWanted } from './store.ts';

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

/** The operation `deployment.destroy`: everything in Incus that is ours; the command line removes the rest. */
export function makeDeploymentDestroy(parts: DeploymentParts): OperationKind<Params> {
  return makeOperation<Params>({
    kind: 'deployment.destroy',
    params: paramsSchema,
    locks: () => [DEPLOYMENT_LOCK],
    title: () => `Destroy ${parts.name}`,
    steps: () => [
      makeRest(parts),
      { name: 'remove', timeoutMs: 900_000, do: ({ signal }) => parts.fleet.tearDown({ signal }) },
    ],
  });
}
