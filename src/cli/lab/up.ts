// `lab up`, `lab down`, `lab status`: several servers on this machine, and nothing left of them. Each step finds out what
// is there already, so going on after an interruption is giving the command again.
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreeNetwork, readTakenNetworks } from '../../lib/ipv4.ts';
import { type Cli, say } from '../cli.ts';
import { renderJson, renderTable } from '../output.ts';
import { cliProblems, type ExitCode, exitCodes } from '../problems.ts';
import { runCommand, runToSuccess } from '../run-command.ts';
import { makeHostSteps } from '../up/prepare-host.ts';
import { projectDirOf } from '../up/project.ts';
import type { HostStep } from '../up/run-steps.ts';
import { runLocalSteps } from '../up/up.ts';
import { makeClusterSteps } from './cluster.ts';
import {
  addressOf,
  IMAGE,
  type LabPlan,
  networkOf,
  renderIncus,
  renderMachineBuild,
  renderMetadata,
  renderPlaceCommands,
  renderRemoveCommands,
  renderServerCommands,
  serverNames,
} from './lab.ts';
import { hasLab, listLabServers } from './state.ts';

/** Packages are fetched and unpacked: 20 s where tried. */
const BUILD_TIMEOUT_MS = 600_000;
const CHANGE_TIMEOUT_MS = 120_000;
/** 2 s where tried. */
const BOOT_TIMEOUT_MS = 60_000;
const LOOK_EVERY_MS = 200;

/** Makes what is missing of the lab and starts its servers. */
export async function runLabUp(cli: Cli, plan: LabPlan): Promise<ExitCode> {
  const { context, env, clock } = cli;
  const steps = [
    ...makeHostSteps({ dataDir: context.dataDir, env, clock }),
    makePlaceStep(plan),
    makeImageStep(plan),
    ...serverNames(plan.servers).map((server) => makeServerStep(cli, plan, server)),
    ...(plan.bare ? [] : makeClusterSteps(plan)),
  ];
  if (!(await runLocalSteps(cli, steps))) return exitCodes.failed;
  return await runLabStatus(cli, plan.name);
}

/** Removes the lab and everything in it. */
export async function runLabDown(cli: Cli, lab: string): Promise<ExitCode> {
  if (!(await hasLab(cli, lab))) {
    say(cli, `There is no lab "${lab}".`);
    return exitCodes.done;
  }
  const options = (signal: AbortSignal, onLine: (line: string) => void) => ({
    timeoutMs: CHANGE_TIMEOUT_MS,
    signal,
    onLine,
  });
  const remove: HostStep[] = (await listLabServers(cli, lab)).map(({ name, state }) => ({
    name: `Remove ${name}`,
    async run(sayLine, signal) {
      if (state === 'frozen') await runToSuccess(renderIncus(lab, 'resume', name), options(signal, sayLine));
      await runToSuccess(renderIncus(lab, 'delete', '--force', name), options(signal, sayLine));
      return undefined;
    },
  }));
  const clear: HostStep = {
    name: 'Remove image, content, network and storage',
    async run(sayLine, signal) {
      for (const { look, remove: argv } of renderRemoveCommands(lab)) {
        if ((await runCommand(look, { timeoutMs: CHANGE_TIMEOUT_MS, signal })).code === 0)
          await runToSuccess(argv, options(signal, sayLine));
      }
      return undefined;
    },
  };
  return (await runLocalSteps(cli, [...remove, clear])) ? exitCodes.done : exitCodes.failed;
}

/** The servers with what is broken about them. */
export async function runLabStatus(cli: Cli, lab: string): Promise<ExitCode> {
  if (!(await hasLab(cli, lab))) throw cliProblems.make('no-lab', { lab });
  const servers = (await listLabServers(cli, lab)).map(({ pid: _, ...server }) => server);
  const field = (title: 'name' | 'state' | 'address') => ({
    title,
    cell: (row: (typeof servers)[number]) => row[title],
  });
  const columns = [
    ...(['name', 'state', 'address'] as const).map(field),
    { title: 'cut off', cell: (row: (typeof servers)[number]) => row.cut },
  ];
  cli.terminal.out(cli.options.json === true ? renderJson({ servers }) : renderTable(columns, servers));
  return exitCodes.done;
}

function makePlaceStep({ name }: LabPlan): HostStep {
  return {
    name: 'Make network, storage and a folder that all servers share',
    async run(sayLine, signal) {
      const cidr = findFreeNetwork(name, readTakenNetworks());
      if (cidr === undefined) throw cliProblems.make('no-network', {});
      for (const { look, make } of renderPlaceCommands(name, cidr)) {
        if ((await runCommand(look, { timeoutMs: CHANGE_TIMEOUT_MS, signal })).code !== 0)
          await runToSuccess(make, { timeoutMs: CHANGE_TIMEOUT_MS, signal, onLine: sayLine });
      }
      return undefined;
    },
  };
}

function makeImageStep({ name }: LabPlan): HostStep {
  return {
    name: "Make the servers' image",
    async run(sayLine, signal) {
      const options = { timeoutMs: BUILD_TIMEOUT_MS, signal, onLine: sayLine };
      if ((await runCommand(renderIncus(name, 'image', 'show', IMAGE), options)).code === 0) return 'there already';
      const draft = await mkdtemp(join(tmpdir(), 'espalier-lab-'));
      try {
        const [metadata, rootfs] = [join(draft, 'metadata.tar'), join(draft, 'rootfs.tar')];
        await runToSuccess(renderMachineBuild(join(import.meta.dirname, 'machine.sh'), rootfs), options);
        await writeFile(join(draft, 'metadata.yaml'), renderMetadata(Math.floor(Date.now() / 1000)));
        await runToSuccess(['tar', '-C', draft, '-cf', metadata, 'metadata.yaml'], options);
        await runToSuccess(
          renderIncus(name, 'image', 'import', metadata, rootfs, '--alias', IMAGE, '--quiet'),
          options,
        );
      } finally {
        await rm(draft, { recursive: true, force: true });
      }
      return undefined;
    },
  };
}

function makeServerStep(cli: Cli, plan: LabPlan, server: string): HostStep {
  const { name } = plan;
  return {
    name: `Start ${server}`,
    async run(sayLine, signal) {
      const options = { timeoutMs: CHANGE_TIMEOUT_MS, signal, onLine: sayLine };
      const cidr = (await runToSuccess(['incus', 'network', 'get', networkOf(name), 'ipv4.address'], options)).trim();
      const host = { unified: await isUnified(), cidr, projectDir: projectDirOf() };
      const found = (await listLabServers(cli, name)).find((known) => known.name === server);
      // Made in four commands; one whose making was interrupted has never run.
      if (found === undefined || found.pid === 0) {
        if (found !== undefined && found.address === '')
          await runToSuccess(renderIncus(name, 'delete', server), options);
        if (found === undefined || found.address === '')
          for (const argv of renderServerCommands(plan, server, host)) await runToSuccess(argv, options);
        await runToSuccess(renderIncus(name, 'start', server), options);
      }
      await waitForBoot(cli, name, server, signal);
      return addressOf(cidr, server);
    },
  };
}

/** Returns when systemd says that the server has booted and its address is there. */
export async function waitForBoot(cli: Cli, lab: string, server: string, signal: AbortSignal): Promise<void> {
  const { clock } = cli;
  const startedMs = clock.monotonicMs();
  const ask = (...argv: string[]) =>
    runCommand(renderIncus(lab, 'exec', server, '--', ...argv), { timeoutMs: BOOT_TIMEOUT_MS, signal });
  while (clock.monotonicMs() - startedMs < BOOT_TIMEOUT_MS) {
    const { stdout } = await ask('systemctl', 'is-system-running');
    const hasBooted = ['running', 'degraded'].includes(stdout.trim());
    if (hasBooted && (await ask('ip', '-4', 'route', 'show', 'default')).stdout !== '') return;
    await clock.wait(LOOK_EVERY_MS, signal);
  }
  throw cliProblems.make('timed-out', { what: `The boot of ${server}`, seconds: BOOT_TIMEOUT_MS / 1000 });
}

/** Whether this machine has cgroups v2 alone. */
async function isUnified(): Promise<boolean> {
  return await access('/sys/fs/cgroup/cgroup.controllers').then(
    () => true,
    () => false,
  );
}
