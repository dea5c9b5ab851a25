// Throughput and latency by wrk, Debian's package, which costs less of the machine than anything of ours would.
import { join } from 'node:path';
import { runCommand } from '../src/engines/command.ts';

export interface WrkReport {
  pagesPerS: number;
  p50Ms: number;
  p99Ms: number;
  failed: number;
}

/** Installs wrk where it is missing. */
export async function ensureWrk(): Promise<void> {
  const there = await runCommand(['wrk', '-v'], { timeoutMs: 10_000 }).catch(() => undefined);
  if (there !== undefined) return;
  await runCommand(['apt-get', 'install', '-y', '-qq', 'wrk'], { timeoutMs: 120_000 });
}

/** Half of the connections by each thread. */
const THREADS = 2;

/**
 * Asks `origins` (`10.0.0.2:80`; one for all threads, or one for each) for one path under the host names in turn, over so
 * many connections, each again after its answer.
 */
export async function runWrk(
  origins: readonly string[],
  page: { hosts: readonly string[]; path: string },
  load: { connections: number; seconds: number },
): Promise<WrkReport> {
  const argv = [
    ...[
      'env',
      `ESPALIER_BENCH_ORIGINS=${origins.join(' ')}`,
      'wrk',
      '--threads',
      String(THREADS),
      '--connections',
      String(load.connections),
      '--duration',
      `${load.seconds}s`,
    ],
    ...[
      '--timeout',
      '30s',
      '--script',
      join(import.meta.dirname, 'wrk.lua'),
      `http://${origins[0]}`,
      '--',
      page.path,
      ...page.hosts,
    ],
  ];
  const { code, stdout, stderr } = await runCommand(argv, { timeoutMs: load.seconds * 1000 + 60_000 });
  if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}: ${stderr}${stdout.toString()}`);
  const line = stdout.toString().trim().split('\n').at(-1) ?? '';
  const told = JSON.parse(line) as Record<'requests' | 'durationUs' | 'p50Us' | 'p99Us' | 'failed', number>;
  return {
    pagesPerS: (told.requests - told.failed) / (told.durationUs / 1e6),
    p50Ms: told.p50Us / 1000,
    p99Ms: told.p99Us / 1000,
    failed: told.failed,
  };
}
