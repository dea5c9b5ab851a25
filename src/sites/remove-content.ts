// Removes what a site's customers uploaded, from the volume that its pool's nodes share.
import { AGENT_CALL_MS } from '../pools/parts.ts';
import { listNodes } from '../pools/store.ts';
import { readServingNodes } from './nodes.ts';
import type { SiteParts } from './parts.ts';
import type { SiteRow } from './store.ts';

/** Bound of deleting a large tree. */
const REMOVE_MS = 300_000;

/** Deletes the site's folder through one ready node; a pool without any node has no content that is served. */
export async function removeContent(parts: SiteParts, site: SiteRow, signal: AbortSignal): Promise<void> {
  if ((await listNodes(parts.store, { pool: site.pool })).length === 0) return;
  const [node] = await readServingNodes(parts, site);
  const params = { node: node.name, site: site.id };
  await parts.pools.agents.call(node.server, 'site.remove-content', params, {
    timeoutMs: REMOVE_MS + AGENT_CALL_MS,
    signal,
  });
}
