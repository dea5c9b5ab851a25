// Chooses the server for a pool's volume, with which its nodes go. Apart from making the pool: the choice is kept before the volume
// is made, so that pools that are made at once do not all choose the same.
import { choosePlacement } from '../servers/place.ts';
import { listServers } from '../servers/store.ts';
import type { PoolParts } from './parts.ts';
import { listPools, storePoolHome } from './store.ts';

/**
 * Gives the server that was asked for, or the one that was chosen before if it is ready, or else the one with the fewest such volumes, and
 * keeps it. Throws what choosePlacement throws.
 */
export async function chooseHome(
  { store, fleet }: Pick<PoolParts, 'store' | 'fleet'>,
  name: string,
  wished: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  const volumes = await fleet.volumes.list({ labels: { kind: 'content' } }, { signal });
  const homes = new Map(volumes.map(({ labels, server }) => [labels.pool, server]));
  return store.transaction(async (sql) => {
    const [pools, servers] = [await listPools(sql), await listServers(sql)];
    const pool = pools.find((one) => one.name === name);
    const isReady = servers.some((server) => server.name === pool?.home && server.state === 'ready');
    if (wished === undefined && isReady && pool?.home != null) return pool.home;
    const groupOn = new Map<string, number>();
    for (const other of pools) {
      const home = other === pool ? undefined : (homes.get(other.name) ?? other.home);
      if (home != null) groupOn.set(home, (groupOn.get(home) ?? 0) + 1);
    }
    const server = wished ?? choosePlacement(servers, { memoryMb: pool?.nodeMemoryMb ?? 0, groupOn }).server;
    await storePoolHome(sql, name, server);
    return server;
  });
}
