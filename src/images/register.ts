// What images and seeds bring: their operations, the loop that deletes what nothing needs, their routes.
import type { House } from '../platform/house.ts';
import type { ApiRoutes } from '../platform/http.ts';
import { makeLoop } from '../platform/loops.ts';
import { makeImageBake } from './bake.ts';
import { makeCodeBake } from './code-bake.ts';
import { makeImageDelete, removeOld } from './keep.ts';
import type { ImageParts } from './parts.ts';
import { makeImageRefresh } from './refresh.ts';
import { makeImageRoutes } from './routes.ts';
import { makeSeedBake } from './seed-bake.ts';
import { makeSeedCreate } from './seed-create.ts';
import { makeSeedDelete } from './seed-delete.ts';
import { makeSeedRoutes } from './seed-routes.ts';

/** Registers the room's operations and loops; gives its routes. */
export function registerImages({ operations, loops, whenUp }: House, parts: ImageParts): ApiRoutes[] {
  operations.register(makeImageBake(parts));
  operations.register(makeImageDelete(parts));
  operations.register(makeImageRefresh(parts));
  operations.register(makeCodeBake(parts));
  operations.register(makeSeedCreate(parts));
  operations.register(makeSeedBake(parts));
  operations.register(makeSeedDelete(parts));
  loops.add(
    makeLoop({
      name: 'images.keep',
      wrongWhen: 'an image is older than the last three of its recipe, and nothing and nobody keeps it',
      everyMs: 60_000,
      timeoutMs: 30_000,
      runOnce: whenUp(() => removeOld(parts)),
    }),
  );
  return [makeImageRoutes(parts), makeSeedRoutes(parts)];
}
