// What this server has and how busy it is, read from the kernel. Pressure is PSI
// (Documentation/accounting/psi.rst of the kernel): the share of the last ten seconds in which a task waited.
import { readFile, statfs } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import type { Clock } from '../lib/clock.ts';
import type { ServerLoad } from '../protocol/contract.ts';

/** The `avg10` of the line `some` in a pressure file, percent; 0 where the kernel does not tell. */
export function parsePressure(text: string): number {
  const match = /^some avg10=([\d.]+)/m.exec(text);
  return match?.[1] === undefined ? 0 : Number(match[1]);
}

/** A figure of /proc/meminfo in bytes; 0 where it is missing. */
export function parseMeminfo(text: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text);
  return match?.[1] === undefined ? 0 : Number(match[1]) * 1024;
}

const readOr = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');

/** The file systems whose free space counts. */
export interface LoadPlaces {
  dataDir: string;
  /**
   * Where Incus mounts this server's part of the storage pool: containers fill that. Not asked of Incus, which may be down, and counts
   * what a full btrfs keeps for itself as free.
   */
  storageDir: string;
}

/** Reads the server's load now. */
export async function readLoad({ dataDir, storageDir }: LoadPlaces, clock: Clock): Promise<ServerLoad> {
  const [cpu, memory, io, meminfo, disk, storage] = await Promise.all([
    readOr('/proc/pressure/cpu'),
    readOr('/proc/pressure/memory'),
    readOr('/proc/pressure/io'),
    readOr('/proc/meminfo'),
    statfs(dataDir),
    statfs(storageDir).catch(() => undefined),
  ]);
  return {
    cores: availableParallelism(),
    load1: loadavg()[0] ?? 0,
    cpuPressure: parsePressure(cpu),
    memoryPressure: parsePressure(memory),
    ioPressure: parsePressure(io),
    memoryTotalBytes: parseMeminfo(meminfo, 'MemTotal'),
    memoryAvailableBytes: parseMeminfo(meminfo, 'MemAvailable'),
    diskTotalBytes: disk.blocks * disk.bsize,
    diskFreeBytes: disk.bavail * disk.bsize,
    ...(storage === undefined
      ? {}
      : { storageTotalBytes: storage.blocks * storage.bsize, storageFreeBytes: storage.bavail * storage.bsize }),
    clockMs: clock.nowMs(),
  };
}
