// What edges bring: the operation that makes one, the loop that brings one back, their routes.
import type { House } from '../platform/house.ts';
import type { ApiRoutes } from '../platform/http.ts';
import { makeLoop } from '../platform/loops.ts';
import { type EdgeParts, makeEdgeCreate } from './create.ts';
import { makeEdgeDelete } from './delete.ts';
import { healEdges } from './heal.ts';
import { makeEdgeRoutes } from './routes.ts';
import { makeEdgeShare } from './share.ts';

/** Registers the room's operations and loops; gives its routes. */
export function registerEdges({ operations, loops, whenUp }: House, parts: EdgeParts): ApiRoutes[] {
  operations.register(makeEdgeCreate(parts));
  operations.register(makeEdgeShare(parts));
  operations.register(makeEdgeDelete(parts));
  loops.add(
    makeLoop({
      name: 'edges.heal',
      wrongWhen: "an edge's container is stopped or gone",
      everyMs: 3_000,
      timeoutMs: 30_000,
      runOnce: whenUp((signal) => healEdges(parts, signal)),
    }),
  );
  return [makeEdgeRoutes(parts)];
}
