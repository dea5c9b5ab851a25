// What emptying and updating servers bring: their operations and routes.
import type { House } from '../platform/house.ts';
import type { ApiRoutes } from '../platform/http.ts';
import { makeServerDrain } from './drain.ts';
import { makeServiceMove } from './move-service.ts';
import type { DrainParts } from './parts.ts';
import { makeDrainRoutes } from './routes.ts';
import { makeServerUpdate } from './update.ts';

/** Registers the room's operations; gives its routes. */
export function registerDrains({ operations }: House, parts: DrainParts): ApiRoutes[] {
  operations.register(makeServerDrain(parts));
  operations.register(makeServerUpdate(parts));
  for (const noun of ['database', 'cache'] as const) operations.register(makeServiceMove(parts, noun));
  return [makeDrainRoutes(parts)];
}
