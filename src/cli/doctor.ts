// `doctor`: what can be seen from this machine, then what the controller finds. Each finding says what to do. Changes nothing.
import { toProblem } from '../lib/errors.ts';
import { type Cli, say } from './cli.ts';
import type { AboutDocument, FindingDocument } from './documents.ts';
import { checkMembership } from './join/membership.ts';
import { renderJson } from './output.ts';
import { type ExitCode, exitCodes } from './problems.ts';
import { runCommand } from './run-command.ts';
import type { Style, Terminal } from './terminal.ts';
import { isDaemonRunning } from './up/daemon.ts';
import { logPathOf } from './up/daemon-spec.ts';
import { listDaemons, readSettings } from './up/deployment.ts';
import { findMissing, readHost } from './up/host.ts';
import { incusSocketOf, readIncusVersion } from './up/incus-daemon.ts';
import { listMissingPackages, renderInstalledCommand } from './up/packages.ts';
import { projectDirOf, readBuild, readVersion } from './up/project.ts';

type Finding = Omit<FindingDocument, 'name'>;

/** Below this a bake or a backup may fill the disk. */
const LOW_DISK_BYTES = 5 * 2 ** 30;

const ok = (detail: string): Finding => ({ status: 'ok', detail });
const warn = (detail: string, todo: string): Finding => ({ status: 'warn', detail, todo });
const fail = (detail: string, todo: string): Finding => ({ status: 'fail', detail, todo });

/** Runs all checks; exit code 1 when one fails. */
export async function runDoctor(cli: Cli): Promise<ExitCode> {
  const checks: FindingDocument[] = [];
  const settings = cli.context.url === undefined ? await readSettings(cli.context.dataDir) : undefined;
  if (cli.context.url === undefined && settings?.simulated !== true) checks.push(...(await checkHost(cli)));
  if (settings !== undefined) checks.push(...(await checkDaemons(cli, listDaemons(settings, cli.context.dataDir, ''))));
  const { joined } = settings ?? {};
  if (joined !== undefined)
    checks.push(await checkMembership({ dataDir: cli.context.dataDir, controller: joined.controller }, cli.signal));
  // Another server's answers, and this one's command line is not let in there.
  if (joined === undefined || joined.controls === true) checks.push(...(await checkController(cli)));
  const failed = checks.filter((check) => check.status === 'fail').length;
  const warned = checks.filter((check) => check.status === 'warn').length;
  cli.terminal.out(cli.options.json === true ? renderJson({ checks }) : renderFindings(cli.terminal, checks));
  say(cli, `${checks.length - failed - warned} ok, ${warned} to look at, ${failed} failed`);
  return failed === 0 ? exitCodes.done : exitCodes.failed;
}

const MARKS: Record<FindingDocument['status'], [string, Style]> = {
  ok: ['✓', 'green'],
  warn: ['!', 'yellow'],
  fail: ['✗', 'red'],
};

/** A line a finding, and what to do below it. */
export function renderFindings(terminal: Terminal, findings: readonly FindingDocument[]): string {
  const width = Math.max(0, ...findings.map(({ name }) => name.length));
  return findings
    .map(({ name, status, detail, todo }) => {
      const [mark, style] = MARKS[status];
      const below = todo === undefined ? '' : `${' '.repeat(width + 4)}${todo}\n`;
      return `${terminal.paint(style, mark)} ${name.padEnd(width)}  ${detail}\n${below}`;
    })
    .join('');
}

async function checkHost(cli: Cli): Promise<FindingDocument[]> {
  const host = await readHost(cli.context.dataDir);
  const missing = findMissing(host);
  const { signal } = cli;
  const command = { timeoutMs: 30_000, signal };
  const absent = listMissingPackages((await runCommand(renderInstalledCommand(), command)).stdout);
  const incus = await readIncusVersion(incusSocketOf(cli.env), signal);
  const freeGib = `${(host.freeDiskBytes / 2 ** 30).toFixed(1)} GiB free for ${cli.context.dataDir}.`;
  return [
    {
      name: 'machine',
      ...(missing === undefined
        ? ok(`Debian ${host.distributionVersion}, ${(host.memoryBytes / 2 ** 30).toFixed(1)} GiB of memory.`)
        : fail(`${missing}.`, 'To look around without it: `espalier up --simulated`.')),
    },
    {
      name: 'packages',
      ...(absent.length === 0 ? ok('All installed.') : fail(`Missing: ${absent.join(', ')}.`, 'Run `espalier up`.')),
    },
    {
      name: 'incus',
      ...(incus === undefined
        ? fail(
            `No answer on ${incusSocketOf(cli.env)}.`,
            'Run `espalier up`, which starts it; its log says why it ended.',
          )
        : Number.parseInt(incus, 10) < 6
          ? fail(`Version ${incus}; it must be 6 or later.`, 'Upgrade the package.')
          : ok(`Version ${incus}.`)),
    },
    {
      name: 'disk',
      ...(host.freeDiskBytes < LOW_DISK_BYTES
        ? warn(freeGib, 'Free some, or images and backups will soon fail.')
        : ok(freeGib)),
    },
    { name: 'clock', ...(await checkClock(cli, host.systemd)) },
  ];
}

/** On a cluster certificates, leases and replicas are judged by clocks, so one that drifts must be seen. */
async function checkClock(cli: Cli, systemd: boolean): Promise<Finding> {
  const todo = 'Install and start a time service, for example `apt install systemd-timesyncd`.';
  if (systemd) {
    const argv = ['timedatectl', 'show', '--property=NTPSynchronized', '--value'];
    const { stdout } = await runCommand(argv, { timeoutMs: 10_000, signal: cli.signal });
    return stdout.trim() === 'yes' ? ok('Synchronized.') : warn('The clock is not synchronized.', todo);
  }
  const { code, stdout } = await runCommand(['chronyc', '-n', 'tracking'], { timeoutMs: 10_000, signal: cli.signal });
  if (code !== 0) return warn('No time service of this machine is known; its host may keep the clock.', todo);
  return /Leap status\s*: Normal/.test(stdout) ? ok('Synchronized.') : warn('The clock is not synchronized.', todo);
}

async function checkDaemons(cli: Cli, daemons: ReturnType<typeof listDaemons>): Promise<FindingDocument[]> {
  const { systemd } = await readHost(cli.context.dataDir);
  const parts = { systemd, clock: cli.clock, signal: cli.signal, say: () => undefined };
  return await Promise.all(
    daemons.map(async (spec) => ({
      name: spec.name,
      ...((await isDaemonRunning(spec, parts))
        ? ok('Runs.')
        : fail('Does not run.', `Run \`espalier up\`; the end of ${logPathOf(spec)} says why it ended.`)),
    })),
  );
}

/** Says what the controller is, and warns when this command line is of another build (or version, where it tells no more). */
export function judgeBuild(about: AboutDocument, own: { version: string; build: string }): Finding {
  const { deployment, version, build } = about;
  const [theirs, ours] = build === undefined ? [version, own.version] : [build, own.build];
  return theirs === ours
    ? ok(`Deployment ${deployment}, the controller is ${theirs}.`)
    : warn(`The controller is ${theirs}, this command line is ${ours}.`, 'Run `espalier up`, which restarts it.');
}

async function checkController(cli: Cli): Promise<FindingDocument[]> {
  try {
    const request = { signal: cli.signal };
    const { body: about } = await cli.client.request<AboutDocument>('GET', '/v1/about', request);
    const own = { version: await readVersion(projectDirOf()), build: await readBuild(projectDirOf()) };
    const api = judgeBuild(about, own);
    const found = await cli.client.request<{ checks: FindingDocument[] }>('GET', '/v1/doctor', request);
    return [{ name: 'api', ...api }, ...found.body.checks];
  } catch (thrown) {
    cli.signal.throwIfAborted();
    const { detail, todo } = toProblem(thrown).document;
    return [{ name: 'api', ...fail(detail, todo) }];
  }
}
