// What a daemon of ours is and where its files are. Apart from the two ways to run one, which both need it.
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';

/** Which daemon. */
export interface DaemonName {
  name: 'controller' | 'agent';
  deployment: string;
  dataDir: string;
}

/** A daemon as it is to run. */
export interface DaemonSpec extends DaemonName {
  argv: readonly string[];
  /** The project's folder. */
  cwd: string;
  env: Readonly<Record<string, string>>;
  /** What the code is; another build means a restart. */
  build: string;
}

export interface DaemonParts {
  /** True when systemd is the first process. */
  systemd: boolean;
  clock: Clock;
  signal: AbortSignal;
  say: (line: string) => void;
}

/** The controller ends its steps and its store within 10 s; the agent sooner. Then it is killed. */
export const STOP_TIMEOUT_MS = 20_000;

/** Where its talk goes. */
export function logPathOf(spec: Pick<DaemonName, 'name' | 'dataDir'>): string {
  return join(spec.dataDir, 'log', `${spec.name}.log`);
}

/** A file about the running daemon: `.json` the record of its process, `.env` its environment. */
export function runPathOf(spec: Pick<DaemonName, 'name' | 'dataDir'>, ending: 'json' | 'env'): string {
  return join(spec.dataDir, 'run', `${spec.name}.${ending}`);
}
