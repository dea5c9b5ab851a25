// A lab: several servers on one machine, to try and to test a cluster. A server is a container of the machine's Incus
// that stands for a machine, with an Incus of its own inside. This file: its names and its commands, which are data.
import { NEEDED } from '../up/packages.ts';

/** What a lab is called and made of. Its project, network, storage pool and volume follow from the name. */
export interface LabPlan {
  /** At most 14 characters: the bridge's name is one longer, and a bridge's has at most 15. */
  name: string;
  servers: number;
  /** Each server's bound. */
  memoryMib: number;
  /** The machines alone. */
  bare: boolean;
}

export const DEFAULT_LAB = 'esplab';
/** Of the project and the servers: only what carries it is ever touched. */
const LABEL = 'user.espalier.lab';
/** How a server is cut off now, in words; absent while it is not. */
export const CUT_LABEL = 'user.espalier.lab-cut';
export const IMAGE = 'machine';
const CONTENT_VOLUME = 'content';
/** Where every server sees the same files, as an NFS mount would show them. */
export const CONTENT_PATH = '/srv/espalier';
/** Where every server sees the project's folder, read-only. */
export const PROJECT_PATH = '/opt/espalier';
/** Sparse. Three servers with their images and nodes hold some 10 GiB. */
const POOL_GIB = 60;
/** Beside what `up` installs. */
const MACHINE_PACKAGES = ['systemd-sysv', 'systemd-resolved', 'dbus', 'udev', 'libnss-systemd', 'procps'];

export const serverNames = (count: number): string[] => Array.from({ length: count }, (_, n) => `s${n + 1}`);
export const networkOf = (lab: string): string => `${lab}0`;

/** A command of the machine's own Incus on the lab's project. */
export const renderIncus = (lab: string, ...args: string[]): string[] => ['incus', '--project', lab, ...args];

/** `cidr`: the bridge's address. What is made once, each with the command that tells whether it is there. In this order. */
export function renderPlaceCommands(name: string, cidr: string): { look: string[]; make: string[] }[] {
  const network = networkOf(name);
  return [
    {
      look: ['incus', 'project', 'show', name],
      make: [
        ...['incus', 'project', 'create', name, '--config', 'features.images=true', '--config'],
        ...['features.profiles=true', '--config', 'features.storage.volumes=true', '--config', `${LABEL}=${name}`],
      ],
    },
    {
      look: ['incus', 'storage', 'show', name],
      make: ['incus', 'storage', 'create', name, 'btrfs', `size=${POOL_GIB}GiB`, `${LABEL}=${name}`],
    },
    {
      look: ['incus', 'network', 'show', network],
      make: [
        ...['incus', 'network', 'create', network, `ipv4.address=${cidr}`, 'ipv4.nat=true', 'ipv6.address=none'],
        `${LABEL}=${name}`,
      ],
    },
    {
      look: renderIncus(name, 'storage', 'volume', 'show', name, CONTENT_VOLUME),
      make: renderIncus(name, 'storage', 'volume', 'create', name, CONTENT_VOLUME),
    },
  ];
}

/** Removes what renderPlaceCommands made, the other way round. */
export function renderRemoveCommands(name: string): { look: string[]; remove: string[] }[] {
  return [
    {
      look: renderIncus(name, 'storage', 'volume', 'show', name, CONTENT_VOLUME),
      remove: renderIncus(name, 'storage', 'volume', 'delete', name, CONTENT_VOLUME),
    },
    {
      look: renderIncus(name, 'image', 'show', IMAGE),
      remove: renderIncus(name, 'image', 'delete', IMAGE),
    },
    { look: ['incus', 'network', 'show', networkOf(name)], remove: ['incus', 'network', 'delete', networkOf(name)] },
    { look: ['incus', 'storage', 'show', name], remove: ['incus', 'storage', 'delete', name] },
    { look: ['incus', 'project', 'show', name], remove: ['incus', 'project', 'delete', name] },
  ];
}

/** Makes the root file system of the servers at `out`, from the machine's own package sources. */
export function renderMachineBuild(script: string, out: string): string[] {
  const quoted = `'${script.replaceAll("'", "'\\''")}'`;
  return [
    ...['mmdebstrap', '--variant=minbase', `--include=${[...MACHINE_PACKAGES, ...NEEDED].join(',')}`],
    ...['--aptopt=Acquire::Languages "none"', `--customize-hook=chroot "$1" /bin/sh -s <${quoted}`, 'trixie', out],
  ];
}

/** What Incus wants to know of it: its metadata.yaml. */
export const renderMetadata = (createdAtS: number): string =>
  `architecture: ${{ x64: 'x86_64', arm64: 'aarch64' }[process.arch as 'x64'] ?? process.arch}\ncreation_date: ${createdAtS}\n`;

/**
 * Makes a server, not started. It is privileged, since an Incus in it shall map ids and mount as one on a machine
 * does; so root in a lab is root on the machine. `unified`: whether the machine has cgroups v2 alone.
 */
export function renderServerCommands(plan: LabPlan, server: string, host: LabHost): string[][] {
  const { name, memoryMib } = plan;
  const key = host.unified ? 'lxc.cgroup2.devices.allow' : 'lxc.cgroup.devices.allow';
  const raw = [
    ...['b 7:* rwm', 'c 10:237 rwm', 'c 10:229 rwm'].map((device) => `${key} = ${device}`),
    'lxc.apparmor.profile = unconfined',
    ...(host.unified ? [] : ['lxc.mount.auto = cgroup:rw:force']),
  ].join('\n');
  const config = {
    'security.privileged': 'true',
    'security.nesting': 'true',
    'boot.autostart': 'false',
    'limits.memory': `${memoryMib}MiB`,
    [LABEL]: name,
    'raw.lxc': raw,
  };
  const add = (device: string, ...rest: string[]) =>
    renderIncus(name, 'config', 'device', 'add', server, device, 'disk', ...rest);
  return [
    [
      ...renderIncus(name, 'init', IMAGE, server, '--storage', name, '--network', networkOf(name)),
      ...Object.entries(config).flatMap(([option, value]) => ['--config', `${option}=${value}`]),
    ],
    renderIncus(name, 'config', 'device', 'set', server, 'eth0', `ipv4.address=${addressOf(host.cidr, server)}`),
    add('content', `pool=${name}`, `source=${CONTENT_VOLUME}`, `path=${CONTENT_PATH}`),
    add('project', `source=${host.projectDir}`, `path=${PROJECT_PATH}`, 'readonly=true'),
  ];
}

export interface LabHost {
  unified: boolean;
  /** The lab's bridge, as `10.1.2.1/24`. */
  cidr: string;
  /** The project's folder on this machine. */
  projectDir: string;
}

/** Servers begin here in the network's last byte: what is below is for its bridge. */
const FIRST_ADDRESS = 10;

/** A server's address follows from its name: `s2` is the second. */
export function addressOf(cidr: string, server: string): string {
  const [, network = ''] = /^(\d+\.\d+\.\d+)\./.exec(cidr) ?? [];
  return `${network}.${FIRST_ADDRESS + Number(server.slice(1))}`;
}
