// What every edge must know now: pools with their nodes, hosts with their sites. Computed whole from the store each time,
// so that nothing can be missed.
import type { Store } from '../platform/store.ts';
import { generationKey, listGenerations } from '../pools/generations.ts';
import { listNodesAtEdge, listPools } from '../pools/store.ts';
import { type EdgeDocument, edgeDocument } from '../protocol/edge-document.ts';
import { readConfigVersion } from '../servers/config-clock.ts';
import { standsOnNodes } from '../sites/document.ts';
import { listSites, type SiteRow } from '../sites/store.ts';
import { listLastingEdges } from './store.ts';

const NODE_PORT = 80;

/** Reads the edge document. `trustedProxies`: networks whose forwarding headers are believed. */
export async function readEdgeDocument(store: Store, trustedProxies: readonly string[]): Promise<EdgeDocument> {
  // The version first: a change that comes meanwhile is in the next document at the latest.
  const version = await readConfigVersion(store);
  const [pools, nodes, sites, edges] = await Promise.all([
    listPools(store),
    listNodesAtEdge(store),
    listSites(store),
    listLastingEdges(store),
  ]);
  return edgeDocument.parse({
    version,
    trustedProxies: [...trustedProxies],
    pools: pools
      .filter(({ worksFor }) => worksFor === null)
      // Each generation by itself: a site's requests go to nodes that know it, and to no others.
      .flatMap((pool) =>
        listGenerations(pool)
          .map(({ generation }) => generation)
          .sort((one, other) => one - other)
          .map((generation) => ({
            name: generationKey(pool.name, generation),
            ...(pool.holds ? { holds: true } : {}),
            servers: (nodes.get(pool.name) ?? [])
              .filter((node) => node.generation === generation)
              .map((node) => ({
                name: node.name,
                address: node.address,
                port: NODE_PORT,
                drain: node.state === 'draining',
              })),
          })),
      ),
    edges: edges.flatMap(({ name, address }) => (address === null ? [] : [{ name, address }])),
    hosts: sites.filter(standsOnNodes).flatMap((site) =>
      site.hosts.map((host) => ({
        host,
        site: site.id,
        pool: generationKey(site.pool, site.generation),
        state: stateAtEdge(site),
        requestsPerS: site.limits.requestsPerS,
        connections: site.limits.connections,
      })),
    ),
  });
}

/** What visitors meet: a site that is upgraded, or on its last seconds of a move, lets them wait. */
function stateAtEdge({ state, held }: Pick<SiteRow, 'state' | 'held'>): SiteRow['state'] | 'held' {
  if (state === 'upgrading' || state === 'maintenance') return 'held';
  return held !== null && state === 'ready' ? 'held' : state;
}
