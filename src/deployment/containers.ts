// Starts and stops all containers of the deployment, in the order in which they need each other.
import type { Fleet, Instance } from '../engines/fleet.ts';

/** Data first, visitors last. Containers of no kind named here belong to an operation. */
const ORDER: readonly (readonly string[])[] = [['database', 'cache'], ['node'], ['edge'], ['seed']];
/** A database may have much to write; after this it is killed, which it survives. */
const STOP_MS = 60_000;

async function listByKind(fleet: Fleet, kinds: readonly string[], signal: AbortSignal): Promise<Instance[]> {
  return (await fleet.instances.list({}, { signal })).filter((instance) => kinds.includes(instance.labels.kind ?? ''));
}

/** Starts every container that is stopped; returns their names. */
export async function startContainers(fleet: Fleet, signal: AbortSignal): Promise<string[]> {
  const started: string[] = [];
  for (const kinds of ORDER) {
    const stopped = (await listByKind(fleet, kinds, signal)).filter((instance) => instance.status !== 'running');
    await Promise.all(stopped.map((instance) => fleet.instances.start(instance.name, { signal })));
    started.push(...stopped.map((instance) => instance.name));
  }
  return started;
}

/** Stops every container that runs, visitors' side first; returns their names. */
export async function stopContainers(fleet: Fleet, signal: AbortSignal): Promise<string[]> {
  const stopped: string[] = [];
  for (const kinds of ORDER.toReversed()) {
    const running = (await listByKind(fleet, kinds, signal)).filter((instance) => instance.status === 'running');
    // Nodes and edges keep nothing that a kill would lose; a database is asked first.
    const force = !kinds.includes('database');
    await Promise.all(
      running.map(async ({ name }) => {
        try {
          await fleet.instances.stop(name, { signal, force, timeoutMs: STOP_MS });
        } catch (thrown) {
          if (force) throw thrown;
          await fleet.instances.stop(name, { signal, force: true });
        }
      }),
    );
    stopped.push(...running.map((instance) => instance.name));
  }
  return stopped;
}
