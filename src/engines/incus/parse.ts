// Incus's JSON into the fleet's words. Pure; apart so that the mapping of states, labels and devices stands once.
import type {
  Device,
  FleetEvent,
  FleetPlace,
  FleetServer,
  Image,
  Instance,
  InstanceState,
  InstanceStatus,
  Labels,
  Volume,
} from '../fleet.ts';
import { LABEL_PREFIX, MANAGED_KEY } from './render.ts';
import type {
  WireConfig,
  WireEvent,
  WireImage,
  WireInstance,
  WireInstanceState,
  WireMember,
  WirePoolResources,
  WireResources,
  WireVolume,
} from './wire.ts';

/** True when the object is this place's. */
export function isOurs(place: FleetPlace, config: WireConfig | null): boolean {
  return config?.[MANAGED_KEY] === place.project;
}

/** True when `labels` has all of `wanted`. */
export function hasLabels(labels: Labels, wanted: Labels | undefined): boolean {
  return Object.entries(wanted ?? {}).every(([key, value]) => labels[key] === value);
}

/** The labels among config keys, without the managed key. */
export function toLabels(config: WireConfig | null): Labels {
  const labels: Record<string, string> = {};
  for (const [key, value] of Object.entries(config ?? {})) {
    if (key.startsWith(LABEL_PREFIX) && key !== MANAGED_KEY) labels[key.slice(LABEL_PREFIX.length)] = value;
  }
  return labels;
}

const STATUSES: Readonly<Record<string, InstanceStatus>> = {
  Running: 'running',
  Ready: 'running',
  Stopped: 'stopped',
  Frozen: 'frozen',
  Error: 'error',
};

/** `localName` stands where a single server does not name itself. */
export function toInstance(wire: WireInstance, localName: string): Instance {
  const config = Object.entries(wire.config).filter(([key]) => !/^(?:user|volatile|image)\./.test(key));
  return {
    name: wire.name,
    server: toServerName(wire.location, localName),
    status: STATUSES[wire.status] ?? 'changing',
    createdAt: wire.created_at,
    labels: toLabels(wire.config),
    config: Object.fromEntries(config),
    devices: toDevices(wire),
    image: wire.config['volatile.base_image'],
    ...(wire.state ? { state: toInstanceState(wire.state) } : {}),
  };
}

function toDevices(wire: WireInstance): Record<string, Device> {
  const devices: Record<string, Device> = {};
  for (const [name, properties] of Object.entries(wire.devices)) {
    const device = toDevice(properties);
    if (device !== undefined) devices[name] = device;
  }
  return devices;
}

function toDevice(from: Record<string, string>): Device | undefined {
  const readonly = from.readonly === 'true' ? { readonly: true } : {};
  const { type, path = '', source = '', size } = from;
  if (type === 'nic') {
    return { kind: 'nic', ...(from['ipv4.address'] === undefined ? {} : { ipv4Address: from['ipv4.address'] }) };
  }
  if (type === 'proxy') {
    const proxyProtocol = from.proxy_protocol === 'true' ? { proxyProtocol: true } : {};
    return { kind: 'proxy', listen: from.listen ?? '', connect: from.connect ?? '', ...proxyProtocol };
  }
  if (type !== 'disk') return undefined;
  if (path === '/') return size?.endsWith('GiB') ? { kind: 'root', sizeGib: Number.parseFloat(size) } : undefined;
  if (from.pool !== undefined) return { kind: 'volume', volume: source, path, ...readonly };
  return { kind: 'disk', source, path, ...readonly, ...(from.shift === 'true' ? { shift: true } : {}) };
}

export function toInstanceState(wire: WireInstanceState): InstanceState {
  const addresses = Object.entries(wire.network ?? {})
    .filter(([nic]) => nic !== 'lo')
    .flatMap(([, nic]) => nic.addresses)
    .filter(({ family, scope }) => family === 'inet' && scope === 'global')
    .map(({ address }) => address);
  return {
    status: STATUSES[wire.status] ?? 'changing',
    addresses,
    memoryBytes: wire.memory?.usage ?? 0,
    cpuS: Math.max(0, wire.cpu?.usage ?? 0) / 1e9,
    processes: Math.max(0, wire.processes),
    pid: Math.max(0, wire.pid ?? 0),
  };
}

export function toImage(wire: WireImage): Image {
  return {
    fingerprint: wire.fingerprint,
    aliases: (wire.aliases ?? []).map(({ name }) => name),
    labels: toLabels(wire.properties),
    sizeBytes: wire.size,
    createdAt: wire.uploaded_at,
  };
}

export function toVolume(wire: WireVolume, localName: string): Volume {
  return {
    name: wire.name,
    server: toServerName(wire.location, localName),
    labels: toLabels(wire.config),
    shifted: wire.config['security.shifted'] === 'true',
    usedBy: (wire.used_by ?? []).map(toLastPart),
    createdAt: wire.created_at,
  };
}

function toServerName(location: string | undefined, localName: string): string {
  return location === undefined || location === '' || location === 'none' ? localName : location;
}

/** `/1.0/instances/web1?project=x` → `web1`. */
export function toLastPart(url: string): string {
  const path = url.split('?')[0] ?? '';
  return decodeURIComponent(path.slice(path.lastIndexOf('/') + 1));
}

/** A machine; one that is offline has told no resources. */
export function toServer(
  member: WireMember,
  resources: WireResources | undefined,
  pool: WirePoolResources | undefined,
): FleetServer {
  const statuses: Record<string, FleetServer['status']> = {
    Online: 'online',
    Offline: 'offline',
    Evacuated: 'evacuated',
    Blocked: 'blocked',
  };
  return {
    name: member.server_name,
    address: member.url,
    status: statuses[member.status] ?? 'offline',
    message: member.message,
    cores: resources?.cpu.total ?? 0,
    memoryBytes: resources?.memory.total ?? 0,
    memoryFreeBytes: resources === undefined ? 0 : resources.memory.total - resources.memory.used,
    diskFreeBytes: pool === undefined ? 0 : pool.space.total - pool.space.used,
  };
}

/** A lifecycle event of the place; undefined for others. */
export function toEvent(project: string, wire: WireEvent, localName: string): FleetEvent | undefined {
  if (wire.type !== 'lifecycle' || (wire.project !== undefined && wire.project !== project)) return undefined;
  const { action, name, source } = wire.metadata;
  return {
    kind: 'lifecycle',
    action,
    name: name || toLastPart(source),
    at: wire.timestamp,
    server: toServerName(wire.location, localName),
  };
}
