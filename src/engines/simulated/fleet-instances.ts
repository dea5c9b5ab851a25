// Containers of the simulated fleet and their snapshots. Apart from its images, files and volumes (fleet-content.ts).
import type { Device, FleetPlace, Instance, InstanceState, Instances, Snapshots } from '../fleet.ts';
import { hasLabels } from '../incus/parse.ts';
import { incusProblems } from '../incus/problems.ts';
import { toAddressPlan } from '../incus/render.ts';
import type { FleetGuard } from './fleet-faults.ts';
import type { SimulatedInstance, SimulatedProject, SimulatedWorld } from './fleet-world.ts';

/** What the parts of the simulated fleet share. */
export interface SimulatedContext {
  readonly place: FleetPlace;
  readonly world: SimulatedWorld;
  readonly guard: FleetGuard;
  readonly serverNames: readonly string[];
  /** ISO 8601, now. */
  now(): string;
  /** The place's project; `incus.not-found` before setUp. */
  project(): SimulatedProject;
  /** A lifecycle event. */
  emit(action: string, name: string, server: string): void;
}

/** A container that idles: what systemd, nginx and a resting PHP take. */
const IDLE_LOAD = { memoryBytes: 60_000_000, cpuS: 0.5, processes: 12 };

const whatIs = (name: string) => `container ${name}`;

/** The container, reachable; `incus.not-found` otherwise. */
export function readSimulatedInstance(context: SimulatedContext, name: string): SimulatedInstance {
  const instance = context.project().instances[name];
  if (instance === undefined) throw incusProblems.make('not-found', { what: whatIs(name) });
  context.guard.assertReachable(instance.server);
  return instance;
}

/** The containers of the simulated fleet. */
export function makeSimulatedInstances(context: SimulatedContext): Instances {
  const { place, world, guard } = context;
  const read = (name: string) => readSimulatedInstance(context, name);

  function assertVolumes(name: string, devices: Readonly<Record<string, Device>>) {
    for (const device of Object.values(devices)) {
      if (device.kind === 'volume' && context.project().volumes[device.volume] === undefined) {
        const why = `there is no volume ${device.volume}`;
        throw incusProblems.make('source-not-found', { what: whatIs(name), why });
      }
    }
  }

  function toSource(name: string, source: { image: string } | { copyOf: string }) {
    const { images, instances } = context.project();
    if ('image' in source) {
      const image = Object.values(images).find(
        ({ fingerprint, aliases }) => fingerprint === source.image || aliases.includes(source.image),
      );
      if (image) return { image: image.fingerprint, files: image.files };
    } else {
      const [instance = '', snapshot] = source.copyOf.split('/');
      const found = instances[instance];
      const files =
        snapshot === undefined ? found?.files : found?.snapshots.find((one) => one.name === snapshot)?.files;
      if (found && files) return { image: found.image, files };
    }
    const why = `there is no ${'image' in source ? `image ${source.image}` : `container ${source.copyOf}`}`;
    throw incusProblems.make('source-not-found', { what: whatIs(name), why });
  }

  /** The server with the fewest containers; the engine's own choice is as simple. */
  function choose(): string {
    const all = Object.values(context.project().instances);
    const load = (server: string) => all.filter((one) => one.server === server).length;
    const online = context.serverNames.filter((server) => !guard.isPartitioned(server));
    const chosen = online.sort((a, b) => load(a) - load(b))[0];
    if (chosen === undefined) throw incusProblems.make('away', { why: 'every server is offline' });
    return chosen;
  }

  /** Static addresses as given; the others from the subnet's last quarter, as DHCP does. */
  function toAddresses(instance: SimulatedInstance): string[] {
    const others = Object.values(context.project().instances).filter((one) => one !== instance);
    const has = (one: SimulatedInstance, address: string) =>
      one.addresses.includes(address) || (one.status === 'stopped' && toStatic(one.devices).includes(address));
    return Object.values(instance.devices).flatMap((device) => {
      if (device.kind !== 'nic') return [];
      if (device.ipv4Address === undefined)
        return toDynamic(new Set(others.flatMap((one) => [...one.addresses, ...toStatic(one.devices)])));
      if (others.some((one) => has(one, device.ipv4Address ?? ''))) {
        const why = `IP address ${device.ipv4Address} already defined on another NIC`;
        throw incusProblems.make('address-taken', { what: whatIs(instance.name), why });
      }
      return [device.ipv4Address];
    });
  }

  function toDynamic(taken: Set<string>): string[] {
    const plan = toAddressPlan(world.networks[place.network]?.cidr ?? '');
    const parts = plan.firstDynamic.split('.').map(Number);
    for (let last = parts[3] ?? 0; last < 255; last++) {
      const address = [...parts.slice(0, 3), last].join('.');
      if (!taken.has(address)) {
        taken.add(address);
        return [address];
      }
    }
    return [];
  }

  function start(instance: SimulatedInstance) {
    if (instance.status === 'running') return;
    instance.addresses = toAddresses(instance);
    instance.status = 'running';
    instance.log += `${context.now()} up\n`;
    context.emit('instance-started', instance.name, instance.server);
  }

  function stop(instance: SimulatedInstance, force: boolean) {
    if (instance.status === 'stopped') return;
    instance.status = 'stopped';
    instance.addresses = [];
    context.emit(force ? 'instance-stopped' : 'instance-shutdown', instance.name, instance.server);
  }

  const api: Instances = {
    async list(filter = {}, _options) {
      if (filter.server !== undefined) guard.assertReachable(filter.server);
      return Object.values(context.project().instances)
        .filter(({ labels }) => hasLabels(labels, filter.labels))
        .filter(({ server }) => filter.server === undefined || filter.server === server)
        .map((instance) => toInstance(instance, guard.isPartitioned(instance.server), filter.withState ?? false));
    },

    async read(name, _options) {
      const instance = context.project().instances[name];
      return instance && toInstance(instance, guard.isPartitioned(instance.server), false);
    },

    async readState(name, _options) {
      return toState(read(name));
    },

    async create(spec, _options) {
      const { instances } = context.project();
      const { name } = spec;
      if (instances[name] !== undefined) throw incusProblems.make('exists', { what: whatIs(name) });
      const { image, files } = toSource(name, spec.source);
      assertVolumes(name, spec.devices);
      const server = spec.server ?? choose();
      if (!context.serverNames.includes(server)) throw incusProblems.make('not-found', { what: `server ${server}` });
      guard.assertReachable(server);
      const instance: SimulatedInstance = {
        name,
        server,
        status: 'stopped',
        createdAt: context.now(),
        labels: { ...spec.labels },
        config: { ...spec.config },
        devices: structuredClone(spec.devices),
        image,
        addresses: [],
        load: IDLE_LOAD,
        files: structuredClone(files),
        snapshots: [],
        log: '',
      };
      instances[name] = instance;
      context.emit('instance-created', name, server);
      if (spec.start) start(instance);
      return toInstance(instance, false, false);
    },

    async ensure(spec, options) {
      const found = context.project().instances[spec.name];
      if (found === undefined) return await api.create(spec, options);
      const instance = read(spec.name);
      if (!hasLabels(instance.labels, spec.labels)) {
        throw incusProblems.make('exists', { what: whatIs(spec.name) });
      }
      assertVolumes(spec.name, spec.devices);
      instance.labels = { ...spec.labels };
      instance.config = { ...spec.config };
      instance.devices = structuredClone(spec.devices);
      if (spec.start) start(instance);
      return toInstance(instance, false, false);
    },

    async start(name, _options) {
      start(read(name));
    },

    async stop(name, options) {
      stop(read(name), options?.force ?? false);
    },

    async restart(name, options) {
      const instance = read(name);
      if (instance.status !== 'running') throw incusProblems.make('not-running', { what: whatIs(name) });
      stop(instance, options?.force ?? false);
      start(instance);
    },

    async delete(name, options) {
      const { instances } = context.project();
      if (instances[name] === undefined) return;
      const instance = read(name);
      if (instance.status === 'running' && !options?.force) {
        throw incusProblems.make('running', { what: whatIs(name) });
      }
      stop(instance, true);
      delete instances[name];
      context.emit('instance-deleted', name, instance.server);
    },

    async updateConfig(name, change, _options) {
      const instance = read(name);
      instance.config = toChanged(instance.config, change.config);
      instance.labels = toChanged(instance.labels, change.labels);
      context.emit('instance-updated', name, instance.server);
    },

    async updateDevices(name, devices, _options) {
      const instance = read(name);
      assertVolumes(name, devices);
      instance.devices = structuredClone(devices);
      if (instance.status === 'running') instance.addresses = toAddresses(instance);
      context.emit('instance-updated', name, instance.server);
    },

    async readLog(name, _options) {
      return read(name).log;
    },
  };
  return api;
}

/** Snapshots of the simulated fleet's containers: their files. */
export function makeSimulatedSnapshots(context: SimulatedContext): Snapshots {
  const read = (name: string) => readSimulatedInstance(context, name);
  return {
    async create(instance, snapshot, _options) {
      const { snapshots, files } = read(instance);
      if (snapshots.some(({ name }) => name === snapshot)) {
        throw incusProblems.make('exists', { what: `snapshot ${snapshot} of container ${instance}` });
      }
      snapshots.push({ name: snapshot, createdAt: context.now(), files: structuredClone(files) });
    },

    async list(instance, _options) {
      return read(instance).snapshots.map(({ name, createdAt }) => ({ name, createdAt }));
    },

    async restore(instance, snapshot, _options) {
      const found = read(instance).snapshots.find(({ name }) => name === snapshot);
      if (!found) throw incusProblems.make('not-found', { what: `snapshot ${snapshot} of container ${instance}` });
      read(instance).files = structuredClone(found.files);
    },

    async delete(instance, snapshot, _options) {
      const one = context.project().instances[instance];
      if (one) one.snapshots = one.snapshots.filter(({ name }) => name !== snapshot);
    },
  };
}

function toStatic(devices: Readonly<Record<string, Device>>): string[] {
  return Object.values(devices).flatMap((device) =>
    device.kind === 'nic' && device.ipv4Address !== undefined ? [device.ipv4Address] : [],
  );
}

function toChanged(
  current: Readonly<Record<string, string>>,
  change: Readonly<Record<string, string | null>> | undefined,
): Record<string, string> {
  const all = { ...current, ...change };
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== null));
}

function toState(instance: SimulatedInstance): InstanceState {
  if (instance.status !== 'running') {
    return { status: instance.status, addresses: [], memoryBytes: 0, cpuS: 0, processes: 0, pid: 0 };
  }
  return { status: 'running', addresses: [...instance.addresses], ...instance.load, pid: 0 };
}

/** Of one on a server that is cut off, the engine knows all but its state. */
function toInstance(from: SimulatedInstance, isCutOff: boolean, withState: boolean): Instance {
  const { name, server, createdAt, image } = from;
  return {
    name,
    server,
    createdAt,
    image,
    status: isCutOff ? 'error' : from.status,
    labels: { ...from.labels },
    config: { ...from.config },
    devices: structuredClone(from.devices),
    ...(withState && !isCutOff ? { state: toState(from) } : {}),
  };
}
