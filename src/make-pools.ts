// What the pools' room is told of the rooms beside and above it: images, sites, runs, the traffic at the edge. Part of the
// composition root.
import { makeTrafficReader } from './edge/traffic.ts';
import { imageProblems } from './images/problems.ts';
import { readFingerprint, readImage, readNewest } from './images/store.ts';
import type { Sql } from './platform/store.ts';
import { generationKey } from './pools/generations.ts';
import type { PoolParts } from './pools/parts.ts';
import { readPool } from './pools/store.ts';
import { countRunsOn } from './sequencer/run-store.ts';
import { readCluster } from './servers/cluster-store.ts';
import { countSitesByPool, listSites, readSite } from './sites/store.ts';

export function makePools(given: {
  common: Pick<PoolParts, 'store' | 'operations' | 'events' | 'fleet' | 'agents' | 'clock' | 'readCidr'>;
  deployment: string;
  syncEdges: PoolParts['syncEdges'];
  wakeHeal: PoolParts['wakeHeal'];
  listChecks: PoolParts['listChecks'];
}): PoolParts {
  const { common, deployment, syncEdges, wakeHeal, listChecks } = given;
  const { store, fleet, agents } = common;
  const traffic = makeTrafficReader(store, agents);
  return {
    ...common,
    ...{ deployment, syncEdges, wakeHeal, listChecks },
    async readSharedFolder(sql) {
      const cluster = await readCluster(sql);
      if (cluster?.contentPath == null || cluster.contentId === null) return undefined;
      return { path: cluster.contentPath, id: cluster.contentId };
    },
    async assertImage(app, number, signal) {
      const image = await readImage(store, app, number);
      const exists = image !== undefined && (await fleet.images.read(image.fingerprint, { signal })) !== undefined;
      if (!exists) throw imageProblems.make('gone', { image: `${app}/${number}` });
    },
    findSite: readSite,
    async assertFor(sql, { app, number }, pool) {
      const ownSite = (await readImage(sql, app, number))?.ownSite ?? null;
      if (ownSite === null || ownSite === pool.dedicatedTo) return;
      throw imageProblems.make('of-site', { image: `${app}/${number}`, pool: pool.name });
    },
    async readTraffic(pool, signal) {
      return traffic(generationKey(pool, (await readPool(store, pool))?.generation ?? 0), signal);
    },
    countRuns: (sql, node) => countRunsOn(sql, node),
    countSites: async (sql, pool, generation) =>
      generation === undefined
        ? ((await countSitesByPool(sql)).get(pool) ?? 0)
        : (await listSites(sql, { pool, generation })).length,
    async readFingerprint(sql: Sql, app: string, number: number) {
      const image = await readFingerprint(sql, app, number);
      if (image === undefined || image.state !== 'ready')
        throw imageProblems.make('gone', { image: `${app}/${number}` });
      return image.fingerprint;
    },
    async readNewestImage(sql: Sql, app: string, ownSite: string | null = null) {
      const image = (await readNewest(sql, app, ownSite)) ?? (await readNewest(sql, app));
      if (image === undefined) throw imageProblems.make('none', { recipe: app });
      return image;
    },
  };
}
