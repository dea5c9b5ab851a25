// What pools bring: their operations, the loop that keeps them as large as they want to be, their routes.
import type { House } from '../platform/house.ts';
import type { ApiRoutes } from '../platform/http.ts';
import { makeLoop } from '../platform/loops.ts';
import { makePoolCreate } from './create.ts';
import { makeNodeCreate } from './create-node.ts';
import { makePoolDelete } from './delete.ts';
import { healPools } from './heal.ts';
import { makePoolLimit } from './limits.ts';
import { makeNodeRoutes } from './node-routes.ts';
import type { PoolParts } from './parts.ts';
import { makeNodeRemove } from './remove-node.ts';
import { makeNodeReplace } from './replace-node.ts';
import { makePoolRoll } from './roll/roll.ts';
import { makeRollRoutes } from './roll/routes.ts';
import { makePoolRoutes } from './routes.ts';
import { makePoolScale } from './scale.ts';

/** Registers the room's operations and loops; gives its routes. */
export function registerPools({ operations, loops, whenUp }: House, parts: PoolParts): ApiRoutes[] {
  operations.register(makeNodeCreate(parts));
  operations.register(makeNodeRemove(parts));
  operations.register(makeNodeReplace(parts));
  operations.register(makePoolCreate(parts));
  operations.register(makePoolScale(parts));
  operations.register(makePoolLimit(parts));
  operations.register(makePoolDelete(parts));
  operations.register(makePoolRoll(parts));
  loops.add(
    makeLoop({
      name: 'pools.heal',
      wrongWhen: 'a pool has fewer or more living nodes than it wants, or a dead one',
      everyMs: 5_000,
      timeoutMs: 30_000,
      runOnce: whenUp((signal) => healPools(parts, signal)),
    }),
  );
  return [makePoolRoutes(parts), makeNodeRoutes(parts), makeRollRoutes(parts)];
}
