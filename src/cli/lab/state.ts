// What stands of a lab, read from Incus, which is the only one that knows. Apart from what changes it.
import type { Cli } from '../cli.ts';
import { cliProblems } from '../problems.ts';
import { runCommand, runToSuccess } from '../run-command.ts';
import { CUT_LABEL, renderIncus } from './lab.ts';

/** Reading never takes this long; a machine without memory may. */
const READ_TIMEOUT_MS = 30_000;
/** A look takes a tenth of a second. */
const MOST_LOOKS = 50;

/** A server of a lab. `stopped`: killed, or never started. */
export interface LabServer {
  name: string;
  state: 'running' | 'frozen' | 'stopped';
  address: string;
  /** How it is cut off; empty while it is not. */
  cut: string;
  /** Its first process, 0 while it is stopped. */
  pid: number;
}

interface WireServer {
  name: string;
  status: string;
  /** null while Incus cannot tell: in the moment in which it stops. */
  config: Record<string, string> | null;
  devices: Record<string, Record<string, string>> | null;
  state?: { pid: number } | null;
}

const STATES: Readonly<Record<string, LabServer['state']>> = { Running: 'running', Frozen: 'frozen' };

/** Servers from the output of `incus list --format json`, by name. */
export function parseServers(text: string): LabServer[] {
  return (JSON.parse(text) as WireServer[])
    .map(({ name, status, config, devices, state }) => ({
      name,
      state: STATES[status] ?? ('stopped' as const),
      address: devices?.eth0?.['ipv4.address'] ?? '',
      cut: config?.[CUT_LABEL] ?? '',
      pid: Math.max(0, state?.pid ?? 0),
    }))
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}

/** Whether the lab's project is there. */
export async function hasLab(cli: Cli, lab: string): Promise<boolean> {
  const options = { timeoutMs: READ_TIMEOUT_MS, signal: cli.signal };
  return (await runCommand(['incus', 'project', 'show', lab], options)).code === 0;
}

export async function listLabServers({ signal }: { signal: AbortSignal }, lab: string): Promise<LabServer[]> {
  const options = { timeoutMs: READ_TIMEOUT_MS, signal };
  for (let looks = 1; ; looks += 1) {
    const servers = parseServers(await runToSuccess(renderIncus(lab, 'list', '--format', 'json'), options));
    if (servers.every(({ address }) => address !== '') || looks === MOST_LOOKS) return servers;
  }
}

/** One server; throws `cli.no-lab` or `cli.no-lab-server`. */
export async function readLabServer(cli: Cli, lab: string, name: string): Promise<LabServer> {
  if (!(await hasLab(cli, lab))) throw cliProblems.make('no-lab', { lab });
  const servers = await listLabServers(cli, lab);
  const found = servers.find((server) => server.name === name);
  if (found !== undefined) return found;
  throw cliProblems.make('no-lab-server', { lab, name, known: servers.map((server) => server.name).join(', ') });
}
