// Lets every controller in at the servers of a kind: one that stands by comes from another address when its turn comes, and
// must not find the door shut then. Wrong is: controllers are on other servers than those that a service was told of. Apart from
// making a container, which tells it too.
import type { Json } from '../platform/store.ts';
import { listControllerHosts, readLogin } from './container.ts';
import type { ServiceEngine, ServiceParts } from './kind.ts';
import { listServices } from './store.ts';

const EXEC_MS = 20_000;

/** Makes the look; what was told is remembered for as long as this controller leads, and telling twice does no harm. */
export function makeAccessKeeper<E extends ServiceEngine>(
  parts: ServiceParts<E>,
): (signal: AbortSignal) => Promise<Json> {
  const toldTo = new Map<string, string>();
  return async (signal) => {
    const { renderAccess } = parts.kind;
    if (renderAccess === undefined) return {};
    const told: string[] = [];
    for (const service of await listServices(parts.store, parts.kind.noun)) {
      const { server, address, image } = service;
      if (service.state !== 'ready' || server === null || address === null || image === null) continue;
      const hosts = await listControllerHosts(parts, server);
      const now = hosts.join(' ');
      // From one address alone it was let in when the container was made.
      if ((toldTo.get(service.name) ?? hosts[0]) === now) continue;
      const { argv, stdin } = renderAccess(await readLogin(parts, { ...service, server, address, image }), hosts);
      const { code, stderr } = await parts.fleet.exec(service.instance, argv, { stdin, timeoutMs: EXEC_MS, signal });
      if (code !== 0) throw new Error(`${service.instance} did not take in from where controllers come: ${stderr}`);
      toldTo.set(service.name, now);
      told.push(service.name);
    }
    return { told };
  };
}
