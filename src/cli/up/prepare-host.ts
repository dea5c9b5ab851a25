// The machine's preparation as steps: packages, sub-ids, kernel limits, Incus. Used by `up` and by the system tests, so
// that both begin on the same ground.
import { readFile, writeFile } from 'node:fs/promises';
import type { Clock } from '../../lib/clock.ts';
import { cliProblems } from '../problems.ts';
import { runCommand, runToSuccess } from '../run-command.ts';
import { findMissing, readHost } from './host.ts';
import { runIncusDaemon } from './incus-daemon.ts';
import { findLowLimits, kernelLimits, renderSysctl, SYSCTL_PATH, toProcPath } from './kernel-limits.ts';
import {
  listMissingPackages,
  parseTargets,
  renderBackportsSource,
  renderInstallCommand,
  renderInstalledCommand,
  SOURCE_PATH,
  TARGETS_COMMAND,
  UPDATE_COMMAND,
  UPDATE_SOURCE_COMMAND,
  withSubIdRange,
} from './packages.ts';
import type { HostStep } from './run-steps.ts';

const APT_ENV = { DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'l', APT_LISTCHANGES_FRONTEND: 'none' };
/**
 * Incus ends the dnsmasq of before by the process number that it wrote down, and kills whoever has that number now. After a loss of
 * power that may be a thread of Incus itself, which then does not start.
 */
const TMPFILES_PATH = '/etc/tmpfiles.d/espalier-incus.conf';
const TMPFILES = '# At boot nothing of before runs.\nr! /var/lib/incus/networks/*/dnsmasq.pid\n';
const QUERY_TIMEOUT_MS = 30_000;
const APT_TIMEOUT_MS = 600_000;

/** The steps, in order. Each finds out by itself whether there is anything to do. `morePackages`: for tests. */
export function makeHostSteps(parts: {
  dataDir: string;
  env: NodeJS.ProcessEnv;
  clock: Clock;
  morePackages?: readonly string[];
}): HostStep[] {
  const { dataDir, env, clock, morePackages = [] } = parts;
  return [
    {
      name: 'Check this machine',
      async run() {
        const host = await readHost(dataDir);
        const missing = findMissing(host);
        if (missing !== undefined) throw cliProblems.make('host-unfit', { missing });
        return `Debian ${host.distributionVersion}, ${host.systemd ? 'systemd' : 'without systemd'}`;
      },
    },
    {
      name: 'Install packages',
      run: (say, signal) => installPackages(dataDir, morePackages, say, signal),
    },
    {
      name: 'Give root a range of sub-ids',
      async run() {
        const changed: string[] = [];
        for (const path of ['/etc/subuid', '/etc/subgid']) {
          const text = withSubIdRange(await readFile(path, 'utf8').catch(() => ''));
          if (text === undefined) continue;
          await writeFile(path, text, { mode: 0o644 });
          changed.push(path);
        }
        return changed.length === 0 ? 'there already' : changed.join(', ');
      },
    },
    {
      name: 'Raise limits of the kernel',
      run: raiseLimits,
    },
    {
      name: 'Start Incus',
      async run(say, signal) {
        const { systemd } = await readHost(dataDir);
        if (systemd) await writeFile(TMPFILES_PATH, TMPFILES, { mode: 0o644 });
        return await runIncusDaemon({ systemd, env, clock, signal, say });
      },
    },
  ];
}

/** Now, and at every boot. A machine that forbids it (itself a container) goes on with the limits it has. */
async function raiseLimits(say: (line: string) => void): Promise<string> {
  const values: Record<string, number> = {};
  for (const limit of kernelLimits) {
    const text = await readFile(toProcPath(limit), 'utf8').catch(() => undefined);
    if (text !== undefined) values[limit] = Number(text);
  }
  const low = Object.entries(findLowLimits(values));
  if (low.length === 0) return 'high enough';
  const raised: string[] = [];
  for (const [limit, least] of low) {
    try {
      await writeFile(toProcPath(limit), String(least));
      values[limit] = least;
      raised.push(limit);
    } catch (thrown) {
      say(`${limit} stays too low for many containers: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    }
  }
  await writeFile(SYSCTL_PATH, renderSysctl(values), { mode: 0o644 });
  return raised.join(', ') || 'none could be raised';
}

async function installPackages(
  dataDir: string,
  morePackages: readonly string[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const query = { timeoutMs: QUERY_TIMEOUT_MS, signal };
  const apt = { timeoutMs: APT_TIMEOUT_MS, signal, env: APT_ENV, onLine: say };
  const readMissing = async () => {
    const { stdout } = await runCommand([...renderInstalledCommand(), ...morePackages], query);
    return listMissingPackages(stdout, morePackages);
  };
  const missing = await readMissing();
  if (missing.length === 0) return 'all there';

  // An installation that was killed half way must be ended before apt does anything else.
  if ((await runCommand(['dpkg', '--audit'], query)).stdout !== '')
    await runToSuccess(['dpkg', '--configure', '-a'], apt);
  await runToSuccess(UPDATE_COMMAND, apt);
  if (missing.some((name) => name.startsWith('incus-'))) {
    // After the update, since apt knows no targets before its first one.
    const targets = parseTargets(await runToSuccess(TARGETS_COMMAND, query));
    const source = renderBackportsSource(await readHost(dataDir), targets);
    if (source !== undefined) {
      say(`adding ${SOURCE_PATH}`);
      await writeFile(SOURCE_PATH, source, { mode: 0o644 });
      await runToSuccess(UPDATE_SOURCE_COMMAND, apt);
    }
  }
  await runToSuccess(renderInstallCommand(missing), apt);
  return missing.join(', ');
}
