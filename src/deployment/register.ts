// What the deployment as a whole brings: its operations and its routes.
import type { House } from '../platform/house.ts';
import type { ApiRoutes } from '../platform/http.ts';
import type { DeploymentParts } from './parts.ts';
import { makeDeploymentRoutes } from './routes.ts';
import { makeDeploymentDestroy, makeDeploymentStop } from './stop.ts';
import { makeDeploymentUp } from './up.ts';

/** Registers the room's operations and loops; gives its routes. */
export function registerDeployment({ operations }: House, parts: DeploymentParts): ApiRoutes[] {
  operations.register(makeDeploymentUp(parts));
  operations.register(makeDeploymentStop(parts));
  operations.register(makeDeploymentDestroy(parts));
  return [makeDeploymentRoutes(parts)];
}
