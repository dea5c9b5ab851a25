// What servers bring: the loop that sees silent ones, and their routes.
import type { Events } from '../platform/events.ts';
import type { House } from '../platform/house.ts';
import type { ApiRoutes } from '../platform/http.ts';
import { makeLoop } from '../platform/loops.ts';
import type { Store } from '../platform/store.ts';
import { makeServerRoutes } from './routes.ts';
import { watchServers } from './watch.ts';

/** Registers the room's loop; gives its routes. */
export function registerServers({ loops }: House, { store, events }: { store: Store; events: Events }): ApiRoutes[] {
  loops.add(
    makeLoop({
      name: 'servers.watch',
      wrongWhen: 'a server counts as ready and its agent is silent',
      everyMs: 2_000,
      timeoutMs: 10_000,
      runOnce: () => watchServers(store, events),
    }),
  );
  return [makeServerRoutes({ store })];
}
