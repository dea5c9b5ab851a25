// Ends what containers of a lost server have open at all services of a kind. Apart from the operations on services: it is part of
// fencing a server, when its packets are dropped already, so that nothing of it comes back.
import type { ServiceEngines } from './engines.ts';
import type { ServiceEngine, ServiceParts } from './kind.ts';
import { listServices, type ServiceRow } from './store.ts';

/**
 * `apart`: servers that nobody speaks with, whose services nobody reaches. Gives in words what it left out. Throws (retryable)
 * when a service runs and does not answer.
 */
export async function endSessionsFrom<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  engines: ServiceEngines<E>,
  from: { networks: readonly string[]; apart: ReadonlySet<string> },
  signal: AbortSignal,
): Promise<string[]> {
  const services = (await listServices(parts.store, parts.kind.noun)).filter(
    // No site has one yet that is being made.
    ({ server, state }) => server !== null && state !== 'creating' && !from.apart.has(server),
  );
  const said = await Promise.all(
    services.map(async (service) => {
      try {
        await (await engines.engineFor(service.name)).endSessions(from.networks, signal);
        return [];
      } catch (thrown) {
        signal.throwIfAborted();
        if (await isRunning(parts, service, signal)) throw thrown;
        return [`${service.instance} does not run: nobody has a session there`];
      }
    }),
  );
  return said.flat();
}

async function isRunning<E extends ServiceEngine>(
  { fleet }: ServiceParts<E>,
  { instance }: ServiceRow,
  signal: AbortSignal,
): Promise<boolean> {
  const status = (await fleet.instances.read(instance, { signal }))?.status;
  return status !== undefined && status !== 'stopped';
}
