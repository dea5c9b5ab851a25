// A site on its pool's nodes: taking its configuration, running its commands, answering its pages. Apart because every
// operation of a site ends with some of these.

import { AGENT_CALL_MS } from '../pools/parts.ts';
import { poolProblems } from '../pools/problems.ts';
import { listNodes, type NodeRow } from '../pools/store.ts';
import { syncPool } from '../pools/sync.ts';
import type { ExecResult } from '../protocol/contract.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { type SiteParts, urlOf } from './parts.ts';
import { siteProblems } from './problems.ts';
import { type SiteRow, type SiteState, storeSiteState } from './store.ts';

type PlacedNode = NodeRow & { server: string; address: string };

/**
 * The ready nodes of the site's generation; `pool.no-node` (retryable) when there is none. Without a generation those of all:
 * they share one volume.
 */
export async function readServingNodes(
  parts: SiteParts,
  { pool, generation }: Pick<SiteRow, 'pool'> & Partial<Pick<SiteRow, 'generation'>>,
): Promise<[PlacedNode, ...PlacedNode[]]> {
  const nodes = (await listNodes(parts.store, { pool })).filter(
    (node) => generation === undefined || node.generation === generation,
  );
  const [first, ...rest] = nodes.filter(
    (node): node is PlacedNode => node.state === 'ready' && node.server !== null && node.address !== null,
  );
  if (first === undefined) throw poolProblems.make('no-node', { pool });
  return [first, ...rest];
}

/**
 * Stores a site's new state and brings nodes, edges and its tasks to it. `first`: who hears first, so that visitors never
 * see a gap.
 */
export async function enterState(
  parts: SiteParts,
  site: SiteRow,
  change: { state: SiteState; reason: string; first: 'nodes' | 'edges' },
  signal: AbortSignal,
): Promise<void> {
  await changeConfig(parts.store, async (sql, version) => {
    await storeSiteState(sql, site.id, change.state, change.reason, version);
    if (change.state === 'ready') await parts.tasks.opened(sql, site.id);
  });
  if (change.state !== 'ready') await parts.tasks.closed(site.id, signal);
  const toNodes = () => syncPool(parts.pools, site.pool, signal);
  const toEdges = () => parts.pools.syncEdges(signal);
  if (change.first === 'nodes') {
    await toNodes();
    await toEdges();
  } else {
    await toEdges();
    await toNodes();
  }
}

/** Runs a command as the site's user in one ready node. Sites are spread by their user ids: many at once are not one node's load. */
export async function execInSite(
  parts: SiteParts,
  site: SiteRow,
  command: { argv: readonly string[]; stdin?: string; timeoutMs: number },
  signal: AbortSignal,
): Promise<ExecResult> {
  const all = await readServingNodes(parts, site);
  const connected = new Set(parts.pools.agents.connected());
  const reachable = all.filter(({ server }) => connected.has(server));
  const nodes = reachable.length > 0 ? reachable : all;
  const node = nodes[site.uid % nodes.length] ?? all[0];
  const params = {
    node: node.name,
    site: site.id,
    argv: [...command.argv],
    ...(command.stdin === undefined ? {} : { stdin: command.stdin }),
  };
  return parts.pools.agents.call(node.server, 'site.exec', params, { timeoutMs: command.timeoutMs, signal });
}

/** Asks every ready node for the page that the recipe names; `site.check-failed` (retryable) tells the first that fails. */
export async function checkOnNodes(
  parts: SiteParts,
  site: SiteRow,
  check: { path: string; contains?: string | undefined },
  signal: AbortSignal,
): Promise<void> {
  const nodes = await readServingNodes(parts, site);
  await Promise.all(
    nodes.map(async (node) => {
      const target = {
        address: node.address,
        // As a browser says it, port included: apps redirect to their own address otherwise.
        host: new URL(urlOf(parts.publicAddress, site.hosts[0] ?? '')).host,
        path: check.path,
        ...(check.contains === undefined ? {} : { contains: check.contains }),
      };
      const answer = await parts.pools.agents.call(node.server, 'node.probe', target, {
        timeoutMs: AGENT_CALL_MS,
        signal,
      });
      if (!answer.ok) throw siteProblems.make('check-failed', { site: site.name, node: node.name, why: answer.detail });
    }),
  );
}
