// The containers of edges that were deleted while nobody could reach their server. Apart from deleting, which leaves them there.
import type { Fleet } from '../engines/fleet.ts';
import type { Store } from '../platform/store.ts';
import { listLastingEdges } from './store.ts';

/** Removes them from a server that is back; gives their names. */
export async function removeLeftoverEdges(
  { store, fleet }: { store: Store; fleet: Fleet },
  server: string,
  signal: AbortSignal,
): Promise<string[]> {
  const instances = await fleet.instances.list({ labels: { kind: 'edge' }, server }, { signal });
  const known = new Set((await listLastingEdges(store)).map(({ name }) => name));
  const unknown = instances.map(({ name }) => name).filter((name) => !known.has(name));
  for (const name of unknown) await fleet.instances.delete(name, { force: true, signal });
  return unknown;
}
