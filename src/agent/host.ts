// This server as a machine: the upgrade of its packages and its reboot. Apart from all that the agent does for containers.
// Commands are data; they run outside of the agent's own unit, so that an upgrade that restarts the agent is not cut off.
import { access, constants, readFile } from 'node:fs/promises';
import { runCommand } from '../engines/command.ts';
import { protocolProblems } from '../protocol/problems.ts';

/** A program of the server's administrator that runs after its packages were upgraded: a kernel module, a check. */
export const HOOK_PATH = '/etc/espalier/after-update';
const REBOOT_MARK = '/run/reboot-required';
/** Fetching and unpacking; a mirror may be slow. */
const UPGRADE_MS = 1_500_000;
const SHORT_MS = 60_000;
const OUTPUT_SHOWN = 1_000;

/** Which boot this is. Two halves: the kernel's, and of its first process, since a container reboots without its kernel. */
export function renderBoot(kernelBootId: string, firstProcessStat: string): string {
  // Field 22, counted after the name in parentheses, which may have blanks.
  const started = firstProcessStat.slice(firstProcessStat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  return `${kernelBootId.trim()}/${started}`;
}

/** The commands of an upgrade in order. `apart`: in units of their own, where systemd is the first process. */
export function renderUpgrade(apart: boolean): string[][] {
  const unit = apart ? ['systemd-run', '--wait', '--pipe', '--collect', '--quiet'] : [];
  const apt = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '--yes', '--option', 'DPkg::Lock::Timeout=600'];
  // What an administrator has changed in a configuration file stays.
  const keep = ['--option', 'Dpkg::Options::=--force-confdef', '--option', 'Dpkg::Options::=--force-confold'];
  return [
    [...unit, ...apt, 'update'],
    [...unit, ...apt, ...keep, 'upgrade'],
  ];
}

/** How many packages `apt-get upgrade` says that it upgraded. */
export const parseUpgraded = (output: string): number => Number(/^(\d+) upgraded,/m.exec(output)?.[1] ?? 0);

const exists = (path: string, mode = constants.F_OK): Promise<boolean> =>
  access(path, mode).then(
    () => true,
    () => false,
  );

async function run(argv: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<string> {
  const { code, stdout, stderr } = await runCommand(argv, { timeoutMs, signal });
  const output = stdout.toString('utf8');
  if (code === 0) return output;
  const why = (stderr.trim() || output.trim()).slice(-OUTPUT_SHOWN);
  throw protocolProblems.make('command-failed', { command: argv.join(' '), code, why });
}

/** Which boot this is, and whether packages ask for another. */
export async function describeHost(): Promise<{ boot: string; wantsReboot: boolean }> {
  const [bootId, stat] = await Promise.all([
    readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
    readFile('/proc/1/stat', 'utf8'),
  ]);
  return { boot: renderBoot(bootId, stat), wantsReboot: await exists(REBOOT_MARK) };
}

/** Upgrades all packages, then runs the administrator's program. May be asked again: apt does what is left. */
export async function upgradeHost(
  signal: AbortSignal,
): Promise<{ upgraded: number; boot: string; wantsReboot: boolean }> {
  const apart = await exists('/run/systemd/system');
  let output = '';
  for (const argv of renderUpgrade(apart)) output = await run(argv, UPGRADE_MS, signal);
  if (await exists(HOOK_PATH, constants.X_OK)) await run([HOOK_PATH], UPGRADE_MS, signal);
  return { upgraded: parseUpgraded(output), ...(await describeHost()) };
}

/** Reboots, unless that has happened since `boot`. */
export async function rebootHost(boot: string, signal: AbortSignal): Promise<{ reboots: boolean }> {
  if ((await describeHost()).boot !== boot) return { reboots: false };
  await run(['systemctl', '--no-block', 'reboot'], SHORT_MS, signal);
  return { reboots: true };
}
