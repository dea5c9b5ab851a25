// A server's homes while it moves to another machine: the container that it lives in, and the next one, which has the same
// data and does not run. One of the two runs at a time. Each home has a name of its own, and with it volumes and an address; so
// until the store names the next one, going back is starting the former.
import { commonProblems } from '../lib/errors.ts';
import type { Sql } from '../platform/store.ts';
import { allocateAddress, releaseAddresses } from '../servers/addresses.ts';
import { choosePlacement } from '../servers/place.ts';
import { listServers } from '../servers/store.ts';
import {
  bringUp,
  ensureContainer,
  labelsOf,
  type PlacedService,
  readLogin,
  readPlaced,
  removeContainer,
  removeVolumes,
  stopContainer,
  volumeName,
} from './container.ts';
import { readHealth } from './create.ts';
import type { ServiceEngine, ServiceParts } from './kind.ts';
import { listServices, readService, storeServiceHome } from './store.ts';

export interface Home {
  instance: string;
  server: string;
}

export interface ServiceHomes {
  /** Where it lives, and where it would: the server asked for, or the best of the others. */
  choose(sql: Sql, name: string, to?: string): Promise<{ former: Home; next: Home; reason: string }>;
  /** Copies its data there, what changed since the last time, and makes the next container, stopped. */
  follow(name: string, homes: { former: Home; next: Home }, signal: AbortSignal): Promise<void>;
  /** Ends it cleanly there. */
  stop(home: Home, signal: AbortSignal): Promise<void>;
  /** Brings it up there, and resolves when it answers; one that runs is left alone. */
  start(name: string, home: Home, signal: AbortSignal): Promise<void>;
  /** It lives there from now on; gives its address. */
  store(sql: Sql, name: string, home: Home, placement: string): Promise<string>;
  /** Removes what there is of a home that it does not live in. */
  discard(name: string, home: Home, signal: AbortSignal): Promise<void>;
}

/** The name of the next container: `database-db1`, `database-db1-m1`, `database-db1-m2`. */
export function nextInstance(instance: string): string {
  const [, base = instance, number = '0'] = /^(.*?)(?:-m(\d+))?$/.exec(instance) ?? [];
  return `${base}-m${Number(number) + 1}`;
}

export function makeServiceHomes<E extends ServiceEngine>(parts: ServiceParts<E>): ServiceHomes {
  const { store, fleet, kind } = parts;
  const { noun } = kind;

  /** The server as it is in that home; the home's address is its own from the first time on. */
  async function readAt(name: string, home: Home): Promise<PlacedService> {
    const [service, cidr] = [await readPlaced(parts, name), await parts.readCidr()];
    const address = await store.transaction((sql) => allocateAddress(sql, cidr, home));
    return { ...service, ...home, address };
  }

  return {
    async choose(sql, name, to) {
      const service = await readService(sql, noun, name);
      if (service?.server == null) throw commonProblems.make('not-found', { noun, name });
      if (service.state !== 'ready') throw parts.problems.make('not-ready', service);
      const groupOn = new Map<string, number>();
      for (const { server } of await listServices(sql, noun))
        if (server !== null) groupOn.set(server, (groupOn.get(server) ?? 0) + 1);
      const others = (await listServers(sql)).filter((one) => one.name !== service.server);
      const only = to === undefined ? {} : { only: { server: to, why: 'a person asked for it' } };
      const { server, reason } = choosePlacement(others, { memoryMb: service.memoryMb, groupOn, ...only });
      const former = { instance: service.instance, server: service.server };
      return { former, next: { instance: nextInstance(service.instance), server }, reason };
    },

    async follow(name, { former, next }, signal) {
      const there = await readAt(name, next);
      // It starts with its server, were that rebooted meanwhile.
      await stopContainer(parts, next, signal);
      const { shift } = await fleet.capabilities({ signal });
      const labels = labelsOf(parts, name);
      for (const { suffix } of kind.volumes) {
        // Nobody else's can be called so; one that a move left behind is made alike.
        const spec = { name: volumeName(next, suffix), server: next.server, labels, shifted: shift };
        await fleet.volumes.carry(volumeName(former, suffix), spec, { signal });
      }
      await ensureContainer(parts, there, signal);
    },

    stop: (home, signal) => stopContainer(parts, home, signal),

    async start(name, home, signal) {
      const there = await readAt(name, home);
      await bringUp(parts, there, signal, { restarts: false });
      await readHealth(kind.makeEngine(await readLogin(parts, there)), signal);
    },

    async store(sql, name, home, placement) {
      const address = await allocateAddress(sql, await parts.readCidr(), home);
      await storeServiceHome(sql, noun, name, { ...home, address, placement });
      return address;
    },

    async discard(name, home, signal) {
      const service = await readService(store, noun, name);
      if (service?.instance === home.instance) throw new Error(`${name} lives in ${home.instance}`);
      await removeContainer(parts, home, signal);
      await removeVolumes(parts, home, signal);
      await store.transaction((sql) => releaseAddresses(sql, home.instance));
    },
  };
}
