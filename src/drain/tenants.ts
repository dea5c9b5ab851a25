// What lives on a server: what of it can go elsewhere, what must stay and why, and which sites notice it.
import { listHeirs } from '../edge/address.ts';
import { listEdges, readEdgeAddress } from '../edge/store.ts';
import { readContentServer } from '../pools/content.ts';
import { listNodes, listPools } from '../pools/store.ts';
import { listServices } from '../services/store.ts';
import { listSites } from '../sites/store.ts';
import type { DrainParts } from './parts.ts';

export interface Tenant {
  /** As people name it: `the node shop-1a2b`. */
  words: string;
  name: string;
  kind: 'node' | 'edge' | 'database' | 'cache' | 'seed' | 'controller';
  /** Of nodes: their pool; each kind of service is a group of its own. */
  group: string;
  memoryMb: number;
  /** Why it cannot go; null: it can, or nobody misses it. */
  stays: string | null;
  /** Who does its work in its place, in a sentence; null: it stays, or goes as a whole. */
  passes: string | null;
  /** Names of the sites that are away while it is. */
  sites: string[];
}

/** Everything that a server carries. Engines are asked where uploads lie and which seeds there are: not in a transaction. */
export async function listTenants(parts: DrainParts, server: string, signal: AbortSignal): Promise<Tenant[]> {
  const { store: sql } = parts;
  const sites = (await listSites(sql)).filter(({ state }) => state === 'ready');
  const pools = new Map((await listPools(sql)).map((pool) => [pool.name, pool]));
  const sitesOf = (isOf: (site: (typeof sites)[number]) => boolean) => sites.filter(isOf).map(({ name }) => name);
  const nodes = await Promise.all(
    (await listNodes(sql, { server })).map(async (node): Promise<Tenant> => {
      const pool = pools.get(node.pool);
      const bound = await readContentServer(parts.pools, node.sitesOf);
      const stays = pool?.state === 'staging' ? 'it is a seed, of which there is one' : (bound?.why ?? null);
      const served = pool?.worksFor == null ? sitesOf((site) => site.pool === node.pool) : [];
      return {
        ...{ words: `the node ${node.name}`, name: node.name, kind: 'node', group: node.pool },
        ...{ memoryMb: pool?.nodeMemoryMb ?? 0, stays, passes: null, sites: stays === null ? [] : served },
      };
    }),
  );
  const heirs = await listHeirs(sql, server);
  const others = heirs.map((one) => one.name).join(', ');
  const shared = await readEdgeAddress(sql);
  const edges = (await listEdges(sql))
    .filter((one) => one.server === server)
    .map(({ name, listen }): Tenant => {
      const edge = { words: `the edge ${name}`, name, kind: 'edge', group: 'edge', memoryMb: 0 } as const;
      if (shared !== undefined && heirs.length > 0)
        return { ...edge, stays: null, passes: `${others} takes ${shared.address} over`, sites: [] };
      const why = `visitors reach it at ${listen} of this server`;
      const stays = heirs.length === 0 ? why : `${why}; ${others} answers too`;
      return { ...edge, stays, passes: null, sites: heirs.length === 0 ? sitesOf(() => true) : [] };
    });
  const services: Tenant[] = [];
  for (const noun of ['database', 'cache'] as const) {
    for (const service of await listServices(sql, noun)) {
      if (service.server !== server) continue;
      services.push({
        ...{ words: `the ${noun} server ${service.name}`, name: service.name, kind: noun, group: noun },
        ...{ memoryMb: service.memoryMb, passes: null },
        stays: service.state === 'ready' ? null : `it is ${service.state}: ${service.reason}`,
        sites: sitesOf((site) => (noun === 'database' ? site.databaseServer : site.cacheServer) === service.name),
      });
    }
  }
  const seeds = (await parts.fleet.instances.list({ labels: { kind: 'seed' }, server }, { signal }))
    .filter(({ name }) => !nodes.some((node) => node.name === name))
    .map(({ name }): Tenant => {
      const stays = 'a seed stays where it was made';
      const seed = { words: `the seed ${name}`, name, kind: 'seed', group: 'seed' } as const;
      return { ...seed, memoryMb: 0, stays, passes: null, sites: [] };
    });
  const leads = (await parts.readLeadingServer(sql)) === server;
  const heir = leads ? await parts.controllers.readHeir(server) : undefined;
  const controller: Tenant = {
    ...{ words: 'the controller', name: 'controller', kind: 'controller', group: 'controller', memoryMb: 0, sites: [] },
    stays: heir === undefined ? 'there is no other; while it is away sites are served and nothing is decided' : null,
    passes: heir === undefined ? null : `the one on ${heir.name} leads then`,
  };
  return [...nodes, ...services, ...edges, ...seeds, ...(leads ? [controller] : [])];
}

/** What stays, in one line. */
export const renderStaying = (tenants: readonly Tenant[]): string =>
  tenants.flatMap(({ words, stays }) => (stays === null ? [] : [`${words} (${stays})`])).join('; ');
