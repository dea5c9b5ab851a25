// Request bodies for Incus, from the fleet's words. Pure, so that tests compare them exactly; nothing is sent here.
import type {
  Device,
  ExecOptions,
  FleetPlace,
  FleetSetup,
  ImageWish,
  InstanceSpec,
  Labels,
  VolumeSpec,
} from '../fleet.ts';
import type { WireConfig, WireDevices, WireInstance } from './wire.ts';

/** Our config keys begin so. */
export const LABEL_PREFIX = 'user.espalier.';
/** The key that says that an object is ours; its value is the project's name. */
export const MANAGED_KEY = `${LABEL_PREFIX}managed`;

/** Labels as config keys, with the managed key. */
export function renderLabels(place: FleetPlace, labels: Labels): WireConfig {
  const config: WireConfig = {};
  for (const [key, value] of Object.entries(labels)) config[`${LABEL_PREFIX}${key}`] = value;
  return { ...config, [MANAGED_KEY]: place.project };
}

/** A container's devices; the root disk in the place's pool is added when it is not named. */
export function renderDevices(place: FleetPlace, devices: Readonly<Record<string, Device>>): WireDevices {
  const rendered: WireDevices = {};
  let hasRoot = false;
  for (const [name, device] of Object.entries(devices)) {
    hasRoot ||= device.kind === 'root';
    rendered[name] = renderDevice(place, name, device);
  }
  return hasRoot ? rendered : { root: { type: 'disk', path: '/', pool: place.storagePool }, ...rendered };
}

function renderDevice(place: FleetPlace, name: string, device: Device): Record<string, string> {
  switch (device.kind) {
    case 'root':
      return { type: 'disk', path: '/', pool: place.storagePool, size: `${device.sizeGib}GiB` };
    case 'nic':
      return {
        type: 'nic',
        name,
        network: place.network,
        ...(device.ipv4Address === undefined ? {} : { 'ipv4.address': device.ipv4Address }),
      };
    case 'disk':
      return {
        type: 'disk',
        source: device.source,
        path: device.path,
        ...(device.readonly ? { readonly: 'true' } : {}),
        ...(device.shift ? { shift: 'true' } : {}),
      };
    case 'volume':
      return {
        type: 'disk',
        pool: place.storagePool,
        source: device.volume,
        path: device.path,
        ...(device.readonly ? { readonly: 'true' } : {}),
      };
    case 'proxy':
      return {
        type: 'proxy',
        listen: device.listen,
        connect: device.connect,
        ...(device.proxyProtocol ? { proxy_protocol: 'true' } : {}),
      };
  }
}

/** `source` of a request from an image's fingerprint (12 or more hexadecimal digits) or alias. */
export function renderImageSource(image: string): object {
  return /^[0-9a-f]{12,64}$/.test(image) ? { type: 'image', fingerprint: image } : { type: 'image', alias: image };
}

/** `source` of a request from `instance` or `instance/snapshot`; snapshots of the source do not come along. */
export function renderCopySource(project: string, copyOf: string): object {
  return { type: 'copy', source: copyOf, project, instance_only: true };
}

/** POST /1.0/instances. Without profiles: what stands here is all that holds. */
export function renderInstanceRequest(place: FleetPlace, spec: InstanceSpec, source: object): object {
  return {
    name: spec.name,
    type: 'container',
    profiles: [],
    config: { ...spec.config, ...renderLabels(place, spec.labels) },
    devices: renderDevices(place, spec.devices),
    source,
    start: spec.start ?? false,
  };
}

/** PUT /1.0/instances/{name}: the current one with other config and devices. */
export function renderInstanceUpdate(current: WireInstance, config: WireConfig, devices: WireDevices): object {
  const { architecture, description, ephemeral, profiles } = current;
  return { architecture, description, ephemeral, profiles, config, devices };
}

/** The engine's own keys of a config, which every update must carry on. */
export function toEngineConfig(config: WireConfig): WireConfig {
  return Object.fromEntries(
    Object.entries(config).filter(([key]) => key.startsWith('volatile.') || key.startsWith('image.')),
  );
}

/** The config of an instance after a change: nulls removed, other keys kept. */
export function renderChangedConfig(
  current: WireConfig,
  change: {
    config?: Readonly<Record<string, string | null>>;
    labels?: Readonly<Record<string, string | null>>;
  },
): WireConfig {
  const wanted = new Map(Object.entries(current));
  const set = (key: string, value: string | null) => {
    if (value === null) wanted.delete(key);
    else wanted.set(key, value);
  };
  for (const [key, value] of Object.entries(change.config ?? {})) set(key, value);
  for (const [key, value] of Object.entries(change.labels ?? {})) set(`${LABEL_PREFIX}${key}`, value);
  return Object.fromEntries(wanted);
}

/** PUT /1.0/instances/{name}/state; `timeout` is in seconds, -1 for none. */
export function renderStateChange(action: 'start' | 'stop' | 'restart', force: boolean, timeoutMs: number): object {
  return { action, force, timeout: action === 'start' || force ? -1 : Math.max(1, Math.floor(timeoutMs / 1000)) };
}

/** POST /1.0/instances/{name}/exec, with websockets for input, output and control. */
export function renderExecRequest(argv: readonly string[], options: ExecOptions): object {
  return {
    command: argv,
    environment: options.env ?? {},
    user: options.uid ?? 0,
    group: options.gid ?? 0,
    cwd: options.cwd ?? '',
    interactive: false,
    'wait-for-websocket': true,
    'record-output': false,
  };
}

/** Properties of an image: labels as keys beside the description. */
export function renderImageProperties(place: FleetPlace, wish: ImageWish): WireConfig {
  return {
    ...(wish.description === undefined ? {} : { description: wish.description }),
    ...renderLabels(place, wish.labels),
  };
}

/** POST /1.0/images from an instance or `instance/snapshot`. Uncompressed: it is unpacked at once on the same disk. */
export function renderPublishRequest(place: FleetPlace, from: string, wish: ImageWish): object {
  return {
    source: { type: from.includes('/') ? 'snapshot' : 'instance', name: from },
    properties: renderImageProperties(place, wish),
    compression_algorithm: 'none',
    public: false,
  };
}

/** POST /1.0/storage-pools/{pool}/volumes/custom, empty. */
export function renderVolumeRequest(place: FleetPlace, spec: VolumeSpec): object {
  return {
    name: spec.name,
    type: 'custom',
    content_type: 'filesystem',
    config: {
      ...(spec.shifted ? { 'security.shifted': 'true' } : {}),
      ...(spec.sizeGib === undefined ? {} : { size: `${spec.sizeGib}GiB` }),
      ...renderLabels(place, spec.labels),
    },
  };
}

/** The same from `volume` or `volume/snapshot`. */
export function renderVolumeCopyRequest(place: FleetPlace, spec: VolumeSpec, from: string): object {
  const source = { type: 'copy', name: from, pool: place.storagePool, project: place.project, volume_only: true };
  return { ...renderVolumeRequest(place, spec), source };
}

/** Has the member on which a volume is wait for another one that reads it. */
export const renderVolumeSendRequest = (place: FleetPlace, name: string): object => ({
  ...{ name, pool: place.storagePool, migration: true, volume_only: true },
});

/** What waits on another member: an operation there, with the secrets of its websockets. */
export interface VolumeSender {
  operation: string;
  secrets: Readonly<Record<string, string>>;
  certificate: string;
}

/** The same from another member (`sender`), or onto a copy that is there already (`refresh`). */
export function renderVolumeCarryRequest(
  place: FleetPlace,
  spec: VolumeSpec,
  from: { name: string; sender: VolumeSender | undefined },
  refresh: boolean,
): object {
  const { name, sender } = from;
  const how =
    sender === undefined ? { type: 'copy', project: place.project } : { type: 'migration', mode: 'pull', ...sender };
  const source = { ...how, name, pool: place.storagePool, volume_only: true, ...(refresh ? { refresh } : {}) };
  return { ...renderVolumeRequest(place, spec), source };
}

/** A request for something of the place: its name, driver or type, and config. */
export interface OwnedRequest {
  name: string;
  description: string;
  type?: string;
  driver?: string;
  config: WireConfig;
}

/** Keys of a storage pool's config that each member of a cluster has for itself. */
const MEMBER_KEYS = ['size', 'source'];

/** What a request that makes a network or storage pool says to one member of a cluster, before all are told the rest. */
export function renderMemberPart(request: OwnedRequest): OwnedRequest {
  return { ...request, config: pickConfig(request.config, (key) => MEMBER_KEYS.includes(key)) };
}

/** What it says to all of them then. */
export function renderClusterPart(request: OwnedRequest): OwnedRequest {
  return { ...request, config: pickConfig(request.config, (key) => !MEMBER_KEYS.includes(key)) };
}

function pickConfig(config: WireConfig, wanted: (key: string) => boolean): WireConfig {
  return Object.fromEntries(Object.entries(config).filter(([key]) => wanted(key)));
}

/** POST /1.0/projects. Images, profiles and volumes are the project's own; networks are the machine's. */
export function renderProjectRequest(place: FleetPlace): OwnedRequest {
  return {
    name: place.project,
    description: 'Espalier',
    config: {
      'features.images': 'true',
      'features.networks': 'false',
      'features.profiles': 'true',
      'features.storage.buckets': 'true',
      'features.storage.volumes': 'true',
      [MANAGED_KEY]: place.project,
    },
  };
}

/** POST /1.0/networks: a bridge with its own DHCP. */
export function renderNetworkRequest(place: FleetPlace, cidr: string | undefined): OwnedRequest {
  return {
    name: place.network,
    type: 'bridge',
    description: 'Espalier',
    config: {
      'ipv4.address': cidr ?? 'auto',
      'ipv4.nat': 'true',
      'ipv6.address': 'none',
      ...(cidr === undefined ? {} : { 'ipv4.dhcp.ranges': renderDynamicRange(cidr) }),
      [MANAGED_KEY]: place.project,
    },
  };
}

/** POST /1.0/storage-pools. */
export function renderStoragePoolRequest(place: FleetPlace, setup: FleetSetup): OwnedRequest {
  return {
    name: place.storagePool,
    driver: setup.driver,
    description: 'Espalier',
    config: {
      ...(setup.sizeGib === undefined || setup.driver === 'dir' ? {} : { size: `${setup.sizeGib}GiB` }),
      [MANAGED_KEY]: place.project,
    },
  };
}

/** Addresses of a subnet (IPv4, prefix 8 to 28): the last quarter is handed out by DHCP, the rest is for static ones. */
export interface AddressPlan {
  firstStatic: string;
  lastStatic: string;
  firstDynamic: string;
  lastDynamic: string;
}

/** The plan of the subnet of a bridge whose own address is the subnet's first (such as `10.87.0.1/24`). */
export function toAddressPlan(cidr: string): AddressPlan {
  const [address = '', prefix = ''] = cidr.split('/');
  const size = 2 ** (32 - Number(prefix));
  const own = address.split('.').reduce((number, part) => number * 256 + Number(part), 0);
  if (!(Number(prefix) >= 8 && Number(prefix) <= 28) || !Number.isInteger(own)) {
    throw new RangeError(`${cidr} is not an IPv4 subnet with a prefix of 8 to 28`);
  }
  const base = own - (own % size);
  const firstDynamic = base + (size / 4) * 3;
  return {
    firstStatic: toAddress(own === base + 1 ? own + 1 : base + 1),
    lastStatic: toAddress(firstDynamic - 1),
    firstDynamic: toAddress(firstDynamic),
    lastDynamic: toAddress(base + size - 2),
  };
}

function toAddress(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}

/** `ipv4.dhcp.ranges` of a bridge. */
export function renderDynamicRange(cidr: string): string {
  const plan = toAddressPlan(cidr);
  return `${plan.firstDynamic}-${plan.lastDynamic}`;
}
