// What is left of edges that were deleted while nobody could reach their server. Apart from deleting, which leaves it there.
import { AGENT_CALL_MS, type EdgeParts } from './create.ts';
import { listLastingEdges } from './store.ts';

/** Removes their containers and directories from a server that is back; gives the containers' names. */
export async function removeLeftoverEdges(
  { store, fleet, agents }: Pick<EdgeParts, 'store' | 'fleet' | 'agents'>,
  server: string,
  signal: AbortSignal,
): Promise<string[]> {
  const instances = await fleet.instances.list({ labels: { kind: 'edge' }, server }, { signal });
  const known = new Set((await listLastingEdges(store)).map(({ name }) => name));
  const unknown = instances.map(({ name }) => name).filter((name) => !known.has(name));
  for (const edge of unknown) {
    // The container last: by it a second attempt finds what is left.
    await agents.call(server, 'edge.forget', { edge }, { timeoutMs: AGENT_CALL_MS, signal });
    await fleet.instances.delete(edge, { force: true, signal });
  }
  return unknown;
}
