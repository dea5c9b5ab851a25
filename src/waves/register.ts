// What waves bring: the operations on one site, the loop that carries waves on, their routes.
import type { House } from '../platform/house.ts';
import type { ApiRoutes } from '../platform/http.ts';
import { makeLoop } from '../platform/loops.ts';
import { advanceWaves, WAVES_LOOP } from './advance.ts';
import type { WaveParts } from './parts.ts';
import { makeWaveRoutes } from './routes.ts';
import { makeSiteReturn, makeSiteUpgrade } from './upgrade.ts';

/** Registers the room's operations and loops; gives its routes. */
export function registerWaves({ operations, loops, whenUp }: House, parts: WaveParts): ApiRoutes[] {
  operations.register(makeSiteUpgrade(parts));
  operations.register(makeSiteReturn(parts));
  loops.add(
    makeLoop({
      name: WAVES_LOOP,
      wrongWhen:
        'a site of a wave has its turn and nobody upgrades it, or a pool has nodes of a second image for no site',
      everyMs: 2_000,
      timeoutMs: 120_000,
      runOnce: whenUp((signal) => advanceWaves(parts, signal)),
    }),
  );
  return [makeWaveRoutes(parts)];
}
