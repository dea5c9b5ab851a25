// What the figures were measured on. Apart because every result carries it.
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';

export interface Machine {
  system: string;
  kernel: string;
  processor: string;
  cores: number;
  memoryGib: number;
  /** Load of the last minute when the benchmark began: what else the machine had to do. */
  load1: number;
}

export async function readMachine(): Promise<Machine> {
  const osRelease = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return {
    system: /^PRETTY_NAME="(.*)"$/m.exec(osRelease)?.[1] ?? process.platform,
    kernel: release(),
    processor: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 2 ** 30),
    load1: Math.round((loadavg()[0] ?? 0) * 10) / 10,
  };
}
