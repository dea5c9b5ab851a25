// What the kernel tells of one node (a container) without asking anything in it: processor time, memory, pressure, and its PHP
// processes at work and requests that wait for one. Parsers are pure; a file that is not there is a figure that is missing,
// with the reason, never a zero.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseUnifiedMount } from './runs/cgroups.ts';

/** What one look found. Counters and gauges as they are; rates are made of two looks (sample-nodes.ts). */
export interface NodeFigures {
  /** Processor time used since its start. */
  cpuS?: number;
  /** Without what is only cached. */
  memoryBytes?: number;
  /** PSI `some avg10`, percent. */
  cpuPressure?: number;
  memoryPressure?: number;
  busyWorkers?: number;
  workerQueue?: number;
  /** Why a figure is not there, by its name. */
  missing: Partial<
    Record<'cpuS' | 'memoryBytes' | 'cpuPressure' | 'memoryPressure' | 'busyWorkers' | 'workerQueue', string>
  >;
}

/** The folder of a process' group below a mount of cgroup v1 or v2 (`controller` empty), without systemd's init.scope. */
export function parseGroup(cgroup: string, controller: string): string | undefined {
  for (const line of cgroup.split('\n')) {
    const [, names = '', ...path] = line.split(':');
    if (names.split(',').includes(controller)) return path.join(':').replace(/\/init\.scope$/, '');
  }
  return undefined;
}

/** The `avg10` of the line `some`; undefined where there is none. */
export function parseSome(text: string): number | undefined {
  const found = /^some avg10=([\d.]+)/m.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

const readNumber = (text: string, pattern: RegExp): number | undefined => {
  const found = pattern.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
};

const PHP_SOCKETS = '/run/espalier/php/';
const LISTENS = 0x10000;

/**
 * PHP processes at work and requests that wait, from /proc/PID/net/unix of the node. A connection to a site's socket is listed
 * under the socket's path: with an inode once a PHP process has accepted it, without one as long as it waits in the queue.
 */
export function parsePhpSockets(text: string): { busyWorkers: number; workerQueue: number } {
  const counts = { busyWorkers: 0, workerQueue: 0 };
  for (const line of text.split('\n')) {
    const [, , , flags = '', , , inode, path = ''] = line.split(/\s+/);
    if (!path.startsWith(PHP_SOCKETS) || (Number.parseInt(flags, 16) & LISTENS) !== 0) continue;
    if (inode === '0') counts.workerQueue += 1;
    else counts.busyWorkers += 1;
  }
  return counts;
}

const readOr = (path: string): Promise<string | undefined> => readFile(path, 'utf8').catch(() => undefined);

/** Looks once at the container whose first process is `pid`; undefined when that has ended. */
export async function readFigures(pid: number, v1 = '/sys/fs/cgroup'): Promise<NodeFigures | undefined> {
  const [cgroup, mounts] = [await readOr(`/proc/${pid}/cgroup`), await readOr('/proc/self/mountinfo')];
  if (cgroup === undefined) return undefined;
  const figures: NodeFigures = { missing: {} };
  const mount = parseUnifiedMount(mounts ?? '');
  const group = parseGroup(cgroup, '');
  const unified = mount === undefined || group === undefined ? undefined : join(mount, group);
  const readUnified = async (file: string) => (unified === undefined ? undefined : await readOr(join(unified, file)));
  const readOld = async (controller: string, file: string) =>
    await readOr(join(v1, controller, parseGroup(cgroup, controller) ?? 'none', file));

  const [cpu, cpuPressure, memoryPressure, sockets] = await Promise.all([
    readUnified('cpu.stat'),
    readUnified('cpu.pressure'),
    readUnified('memory.pressure'),
    readOr(`/proc/${pid}/net/unix`),
  ]);
  const usage = readNumber(cpu ?? '', /^usage_usec (\d+)$/m);
  const oldUsage =
    usage === undefined ? readNumber((await readOld('cpuacct', 'cpuacct.usage')) ?? '', /^(\d+)/) : undefined;
  if (usage !== undefined) figures.cpuS = usage / 1e6;
  else if (oldUsage !== undefined) figures.cpuS = oldUsage / 1e9;
  else figures.missing.cpuS = 'its control group counts no processor time';

  const memory = await readMemory(readUnified, readOld);
  if (memory === undefined) figures.missing.memoryBytes = 'its control group counts no memory';
  else figures.memoryBytes = memory;

  for (const [name, text] of [
    ['cpuPressure', cpuPressure],
    ['memoryPressure', memoryPressure],
  ] as const) {
    const value = parseSome(text ?? '');
    if (value === undefined) figures.missing[name] = 'this kernel tells no pressure (PSI) of single control groups';
    else figures[name] = value;
  }
  if (sockets === undefined) {
    figures.missing.busyWorkers = 'its sockets cannot be listed';
    figures.missing.workerQueue = 'its sockets cannot be listed';
  } else Object.assign(figures, parsePhpSockets(sockets));
  return figures;
}

async function readMemory(
  readUnified: (file: string) => Promise<string | undefined>,
  readOld: (controller: string, file: string) => Promise<string | undefined>,
): Promise<number | undefined> {
  const current = readNumber((await readUnified('memory.current')) ?? '', /^(\d+)/);
  if (current !== undefined)
    return current - (readNumber((await readUnified('memory.stat')) ?? '', /^inactive_file (\d+)$/m) ?? 0);
  const old = readNumber((await readOld('memory', 'memory.usage_in_bytes')) ?? '', /^(\d+)/);
  if (old === undefined) return undefined;
  return old - (readNumber((await readOld('memory', 'memory.stat')) ?? '', /^total_inactive_file (\d+)$/m) ?? 0);
}
