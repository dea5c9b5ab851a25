// What this machine is, and whether Espalier can run on it. Reading is apart from judging, so that every refusal is
// tested without a machine that deserves it.
import { access, readFile, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The facts that the preparation decides on. */
export interface HostFacts {
  platform: string;
  arch: string;
  uid: number;
  /** `ID` and `VERSION_ID` of os-release: `debian`, `12`. */
  distribution: string;
  distributionVersion: string;
  /** `VERSION_CODENAME`: `bookworm`. */
  codename: string;
  /** True when systemd is the first process and may be asked for units (by root). */
  systemd: boolean;
  /** Effective capabilities, as a bit set. */
  capabilities: bigint;
  memoryBytes: number;
  /** Free where the data directory is or will be. */
  freeDiskBytes: number;
  /** True while there is no data directory: then everything is still to be made, and must fit. */
  fresh: boolean;
}

/** linux/capability.h. Without them no container, bridge or mount can be made, whatever the user id says. */
const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n;
/** The base, three images, two pools of two nodes and a database are about 6 GiB. */
export const LEAST_DISK_BYTES = 10 * 2 ** 30;
/** Edge, database, cache, four nodes and the controller with PGlite need about 1.5 GiB. */
export const LEAST_MEMORY_BYTES = 1.8 * 2 ** 30;

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** The first missing requirement as a sentence without its stop, or undefined. */
export function findMissing(host: HostFacts): string | undefined {
  if (host.platform !== 'linux') return `Espalier's containers need Linux, and this is ${host.platform}`;
  if (host.distribution !== 'debian' || !['12', '13'].includes(host.distributionVersion)) {
    return `It needs Debian 12 or 13, and this is ${host.distribution} ${host.distributionVersion}`.trimEnd();
  }
  if (host.arch !== 'x64' && host.arch !== 'arm64')
    return `It needs a 64-bit x86 or ARM processor, and this is ${host.arch}`;
  if (host.uid !== 0) return 'It needs root, and you are another user';
  for (const [bit, name] of [
    [CAP_SYS_ADMIN, 'CAP_SYS_ADMIN'],
    [CAP_NET_ADMIN, 'CAP_NET_ADMIN'],
  ] as const) {
    if ((host.capabilities & (1n << bit)) === 0n) {
      return `root lacks ${name} here (a container or sandbox without rights of its own), so no containers can be made`;
    }
  }
  if (host.memoryBytes < LEAST_MEMORY_BYTES) {
    return `It needs ${gib(LEAST_MEMORY_BYTES)} of memory, and this machine has ${gib(host.memoryBytes)}`;
  }
  if (host.fresh && host.freeDiskBytes < LEAST_DISK_BYTES) {
    return `It needs ${gib(LEAST_DISK_BYTES)} of free disk, and there are ${gib(host.freeDiskBytes)}`;
  }
  return undefined;
}

/** Fields of an os-release file (os-release(5)). */
export function parseOsRelease(text: string): Record<string, string> {
  const fields = [...text.matchAll(/^([A-Z_]+)=(?:"([^"\n]*)"|'([^'\n]*)'|(.*))$/gm)];
  return Object.fromEntries(fields.map(([, key = '', double, single, bare]) => [key, double ?? single ?? bare ?? '']));
}

async function readText(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '');
}

async function readFreeBytes(path: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  } catch {
    return path === dirname(path) ? 0 : await readFreeBytes(dirname(path));
  }
}

/** Reads the facts of this machine. */
export async function readHost(dataDir: string): Promise<HostFacts> {
  const [osRelease, first, status, memory, freeDiskBytes, fresh] = await Promise.all([
    readText('/etc/os-release').then(parseOsRelease),
    readText('/proc/1/comm'),
    readText('/proc/self/status'),
    readText('/proc/meminfo'),
    readFreeBytes(dataDir),
    access(dataDir).then(
      () => false,
      () => true,
    ),
  ]);
  return {
    platform: process.platform,
    arch: process.arch,
    uid: process.getuid?.() ?? -1,
    distribution: osRelease.ID ?? process.platform,
    distributionVersion: osRelease.VERSION_ID ?? '',
    codename: osRelease.VERSION_CODENAME ?? '',
    systemd: first.trim() === 'systemd' && process.getuid?.() === 0,
    capabilities: BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`),
    memoryBytes: Number(/^MemTotal:\s*(\d+) kB$/m.exec(memory)?.[1] ?? 0) * 1024,
    freeDiskBytes,
    fresh,
  };
}
