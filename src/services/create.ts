// Makes a database server or cache server, and heals one: place it, volumes, container, wait until it answers.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import {
  type Asker,
  makeOperation,
  type Operation,
  type OperationKind,
  type Step,
} from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { allocateAddress, releaseAddresses } from '../servers/addresses.ts';
import { choosePlacement } from '../servers/place.ts';
import { assertMemory } from '../servers/room.ts';
import { listServers } from '../servers/store.ts';
import { bringUp, makeVolumes, readLogin, readPlaced, removeContainer, removeNewVolumes } from './container.ts';
import { adminSecret, type ServiceEngine, type ServiceHealth, type ServiceParts, serviceLock } from './kind.ts';
import {
  deleteService,
  insertService,
  listServices,
  type NewService,
  readFreeName,
  readService,
  storeServicePlace,
  storeServiceState,
} from './store.ts';

/** `heal`: the server exists and only its container is looked after, so nothing is taken back when that fails. */
const paramsSchema = z.object({ name: z.string(), heal: z.boolean() });
type Params = z.infer<typeof paramsSchema>;

/** The first start makes the system tables; one after a crash reads the log first, which takes a large server minutes. */
const HEALTHY_MS = 900_000;

/** Begins `database.create` or `cache.create` in the caller's transaction. */
export async function startServiceCreate<E extends ServiceEngine>(
  parts: ServiceParts<E>,
  sql: Sql,
  wish: Omit<NewService, 'name'> & { name?: string | undefined },
  who: Asker,
): Promise<Operation> {
  const { noun, namePrefix } = parts.kind;
  const name = wish.name ?? (await readFreeName(sql, noun, namePrefix));
  const existing = await readService(sql, noun, name);
  if (existing !== undefined) throw parts.problems.make('taken', { name, state: existing.state });
  await assertMemory(sql, { memoryMb: wish.memoryMb, count: 1 });
  await insertService(sql, noun, { ...wish, name });
  return parts.operations.start(sql, `${noun}.create`, { name, heal: false }, who);
}

/** The operation `database.create` or `cache.create`. */
export function makeServiceCreate<E extends ServiceEngine>(parts: ServiceParts<E>): OperationKind<Params> {
  const { noun } = parts.kind;
  return makeOperation<Params>({
    kind: `${noun}.create`,
    params: paramsSchema,
    locks: ({ name }) => [serviceLock(noun, name)],
    title: ({ name, heal }) => `${heal ? 'Heal' : 'Create'} the ${noun} server ${name}`,
    steps: ({ name, heal }) =>
      heal
        ? [makeContainerStep(parts, name), makeHealthyStep(parts, name)]
        : [
            makePlaceStep(parts, name),
            makeVolumesStep(parts, name),
            {
              ...makeContainerStep(parts, name),
              async undo({ signal }) {
                const service = await readService(parts.store, noun, name);
                if (service !== undefined) await removeContainer(parts, service, signal);
              },
            },
            makeHealthyStep(parts, name),
          ],
  });
}

function makePlaceStep<E extends ServiceEngine>(parts: ServiceParts<E>, name: string): Step {
  const { store, secrets } = parts;
  const { noun } = parts.kind;
  return {
    name: 'place',
    timeoutMs: 30_000,
    async do() {
      const [cidr, image] = await Promise.all([parts.readCidr(), parts.readServiceImage()]);
      return store.transaction(async (sql) => {
        const service = await readService(sql, noun, name);
        if (service === undefined) throw commonProblems.make('not-found', { noun, name });
        if (service.server !== null) return { server: service.server, reason: service.placement };
        const groupOn = new Map<string, number>();
        for (const other of await listServices(sql, noun)) {
          if (other.server !== null) groupOn.set(other.server, (groupOn.get(other.server) ?? 0) + 1);
        }
        const choice = choosePlacement(await listServers(sql), { memoryMb: service.memoryMb, groupOn });
        const address = await allocateAddress(sql, cidr, { instance: service.instance, server: choice.server });
        await storeServicePlace(sql, noun, name, { server: choice.server, address, placement: choice.reason, image });
        return { server: choice.server, reason: choice.reason };
      });
    },
    async undo() {
      await store.transaction(async (sql) => {
        const service = await readService(sql, noun, name);
        if (service === undefined) return;
        await deleteService(sql, noun, name);
        await releaseAddresses(sql, service.instance);
        await secrets.remove(sql, adminSecret(noun, name));
      });
    },
  };
}

function makeVolumesStep<E extends ServiceEngine>(parts: ServiceParts<E>, name: string): Step {
  return {
    name: 'volumes',
    timeoutMs: 60_000,
    do: async ({ operationId, signal }) => makeVolumes(parts, await readPlaced(parts, name), operationId, signal),
    async undo({ operationId, signal }) {
      const service = await readService(parts.store, parts.kind.noun, name);
      if (service !== undefined) await removeNewVolumes(parts, service, operationId, signal);
    },
  };
}

/** Brings the container up as the store says it should be. */
export function makeContainerStep<E extends ServiceEngine>(parts: ServiceParts<E>, name: string): Step {
  return {
    name: 'container',
    timeoutMs: 600_000,
    do: async ({ signal }) => bringUp(parts, await readPlaced(parts, name), signal),
  };
}

/** Waits until the server answers, then opens it for sites. */
export function makeHealthyStep<E extends ServiceEngine>(parts: ServiceParts<E>, name: string): Step {
  const { store, events, kind } = parts;
  return {
    name: 'healthy',
    timeoutMs: HEALTHY_MS,
    async do({ signal }) {
      const service = await readPlaced(parts, name);
      // It may have died again, and nobody else heals it while this goes on.
      const instance = await parts.fleet.instances.read(service.instance, { signal });
      if (instance?.status !== 'running') await bringUp(parts, service, signal);
      const engine = kind.makeEngine(await readLogin(parts, service));
      const health = await readHealth(engine, signal);
      await store.transaction(async (sql) => {
        const change = { from: ['creating', 'unhealthy', 'ready'], to: 'ready', reason: 'it answers', health } as const;
        if (!(await storeServiceState(sql, kind.noun, name, change))) return;
        const subject = serviceLock(kind.noun, name);
        await events.append(sql, { kind: `${kind.noun}.ready`, subject, by: 'operation', reason: change.reason });
      });
      return { version: health.version };
    },
  };
}

export async function readHealth(engine: ServiceEngine, signal: AbortSignal): Promise<ServiceHealth> {
  try {
    return await engine.checkHealth(signal);
  } finally {
    await engine.close();
  }
}
