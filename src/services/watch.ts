// Looks after all servers of a kind. Wrong is: a server does not answer, its container is stopped or gone, or it refuses
// the controller's account. What the controller can mend is mended by the operation `….create` in its healing form.
import type { Instance } from '../engines/fleet.ts';
import { Problem, toProblem } from '../lib/errors.ts';
import { type Loop, makeLoop } from '../platform/loops.ts';
import type { Json } from '../platform/store.ts';
import { isApart, readServer } from '../servers/store.ts';
import type { ServiceEngines } from './engines.ts';
import { type ServiceEngine, type ServiceParts, serviceLock } from './kind.ts';
import { listServices, type ServiceRow, storeServiceState } from './store.ts';

const CHECK_MS = 5_000;
/** One server's answer; a slower one counts as silent. */
const ANSWER_MS = 3_000;
/** A healing that failed is not begun again before this. */
const HEAL_PAUSE_MS = 60_000;

/** What one look at a server found. */
type Finding =
  | { state: 'ready'; reason: string; health: unknown }
  /** `mend`: healing it may help. */
  | { state: 'unhealthy'; reason: string; mend: boolean };

/** The loop `database.watch` or `cache.watch`. */
export function makeServiceWatch<E extends ServiceEngine>(parts: ServiceParts<E>, engines: ServiceEngines<E>): Loop {
  const { noun } = parts.kind;
  return makeLoop({
    name: `${noun}.watch`,
    wrongWhen: `a ${noun} server does not answer, or its container is stopped or gone`,
    everyMs: CHECK_MS,
    timeoutMs: 60_000,
    runOnce: (signal) => watchServices(parts, engines, signal),
  });
}

/** One look at all servers; gives each one's state with the reason. */
export async function watchServices<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  engines: ServiceEngines<E>,
  signal: AbortSignal,
): Promise<Json> {
  const services = await listServices(parts.store, parts.kind.noun);
  await engines.keepOnly(new Set(services.map((service) => service.name)));
  const watched = services.filter((service) => service.state === 'ready' || service.state === 'unhealthy');
  const found = await Promise.all(watched.map((service) => watchOne(parts, engines, service, signal)));
  return Object.fromEntries(found);
}

async function watchOne<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  engines: ServiceEngines<E>,
  service: ServiceRow,
  signal: AbortSignal,
): Promise<[string, string]> {
  const { store, operations, events, kind } = parts;
  const lock = serviceLock(kind.noun, service.name);
  const [last] = (await operations.list({ lock, limit: 1 })).items;
  if (last !== undefined && (last.endedAt === null || last.state === 'fatal')) {
    return [service.name, `left alone: ${last.title} is ${last.state}`];
  }
  const pauses = last?.state === 'failed' && parts.clock.nowMs() - Date.parse(last.endedAt ?? '') < HEAL_PAUSE_MS;
  const finding = await lookAt(parts, engines, service, signal);
  await store.transaction(async (sql) => {
    const { state: to, reason } = finding;
    const health = finding.state === 'ready' ? { health: finding.health } : {};
    if (
      await storeServiceState(sql, kind.noun, service.name, { from: ['ready', 'unhealthy'], to, reason, ...health })
    ) {
      await events.append(sql, { kind: `${kind.noun}.${to}`, subject: lock, by: `${kind.noun}.watch`, reason });
    }
    if (finding.state === 'unhealthy' && finding.mend && !pauses) {
      await operations.start(
        sql,
        `${kind.noun}.create`,
        { name: service.name, heal: true },
        { by: `${kind.noun}.watch`, reason },
      );
    }
  });
  return [service.name, `${finding.state}: ${finding.reason}`];
}

async function lookAt<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  engines: ServiceEngines<E>,
  service: ServiceRow,
  signal: AbortSignal,
): Promise<Finding> {
  const server = service.server === null ? undefined : await readServer(parts.store, service.server);
  if (server !== undefined && isApart(server.state))
    return { state: 'unhealthy', reason: `its server ${server.name} is ${server.state}`, mend: false };
  let instance: Instance | undefined;
  try {
    instance = await parts.fleet.instances.read(service.instance, { signal });
  } catch (thrown) {
    signal.throwIfAborted();
    // Another server's loss is no reason not to look after the others.
    return {
      state: 'unhealthy',
      reason: `its container cannot be seen: ${toProblem(thrown).document.detail}`,
      mend: false,
    };
  }
  if (instance === undefined) return { state: 'unhealthy', reason: 'its container is gone', mend: true };
  if (instance.status !== 'running') {
    return { state: 'unhealthy', reason: `its container is ${instance.status}`, mend: instance.status === 'stopped' };
  }
  try {
    const engine = await engines.engineFor(service.name);
    const bound = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
    const health = (await engine.checkHealth(bound)) as Awaited<ReturnType<E['checkHealth']>>;
    const { used, max } = health.connections;
    const reason = parts.kind.findWarning(health) ?? `it answers; ${used} of ${max} connections are in use`;
    return { state: 'ready', reason, health };
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(thrown instanceof Problem))
      return { state: 'unhealthy', reason: `no answer within ${ANSWER_MS} ms`, mend: false };
    return { state: 'unhealthy', reason: thrown.document.detail, mend: thrown.code.endsWith('.access-denied') };
  }
}
