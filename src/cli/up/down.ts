// `down` and `destroy`: the API stops or removes what it made, then the daemons end. In this order, because only the
// controller knows what is its own. The Incus daemon and the packages stay: others may use them.
import { rm } from 'node:fs/promises';
import { assertConfirmed, type Cli, say } from '../cli.ts';
import { cliProblems, type ExitCode, exitCodes } from '../problems.ts';
import { isDaemonRunning, removeDaemon, stopDaemon } from './daemon.ts';
import type { DaemonParts, DaemonSpec } from './daemon-spec.ts';
import { makeDaemonSteps } from './daemon-steps.ts';
import { type DeploymentSettings, listDaemons, readSettings } from './deployment.ts';
import { readHost } from './host.ts';
import { projectDirOf, readBuild } from './project.ts';
import type { HostStep } from './run-steps.ts';
import { runDeployment, runLocalSteps } from './up.ts';

/** Stops the containers and the daemons; all data stays. */
export async function runDown(cli: Cli): Promise<ExitCode> {
  const { daemons } = await readDeployment(cli);
  if (!(await runLocalSteps(cli, await makeControllerStep(cli, daemons)))) return exitCodes.failed;
  const outcome = await runDeployment(cli, { kind: 'deployment.stop', method: 'POST', path: '/v1/deployment/stop' });
  if (outcome !== exitCodes.done) return outcome;
  if (!(await runLocalSteps(cli, makeStopSteps(cli, daemons)))) return exitCodes.failed;
  say(cli, 'Down. `espalier up` brings everything back.');
  return exitCodes.done;
}

/** Removes everything that the deployment made, after asking for its name. */
export async function runDestroy(cli: Cli): Promise<ExitCode> {
  const { settings, daemons } = await readDeployment(cli);
  const { dataDir } = cli.context;
  const what = `This removes the deployment "${settings.deployment}" with all sites, databases and files, and ${dataDir}.`;
  await assertConfirmed(cli, what, settings.deployment);
  if (cli.options.dryRun === true) {
    say(cli, what);
    return exitCodes.done;
  }
  if (!(await runLocalSteps(cli, await makeControllerStep(cli, daemons)))) return exitCodes.failed;
  const outcome = await runDeployment(cli, { kind: 'deployment.destroy', method: 'DELETE', path: '/v1/deployment' });
  if (outcome !== exitCodes.done) return outcome;
  const removal: HostStep = {
    name: 'Remove the data directory',
    async run() {
      await rm(dataDir, { recursive: true, force: true });
      return dataDir;
    },
  };
  if (!(await runLocalSteps(cli, [...makeStopSteps(cli, daemons, true), removal]))) return exitCodes.failed;
  say(cli, 'Destroyed. Packages and the Incus daemon stay as they are.');
  return exitCodes.done;
}

async function readDeployment(cli: Cli): Promise<{ settings: DeploymentSettings; daemons: DaemonSpec[] }> {
  const { deployment, dataDir } = cli.context;
  const settings = await readSettings(dataDir);
  if (settings === undefined) throw cliProblems.make('no-deployment', { dataDir });
  if (settings.deployment !== deployment) {
    throw cliProblems.make('other-deployment', { dataDir, found: `the deployment "${settings.deployment}"` });
  }
  const { joined } = settings;
  if (joined !== undefined)
    throw cliProblems.make('joined-server', { name: joined.name, controller: joined.controller });
  return { settings, daemons: listDaemons(settings, dataDir, await readBuild(projectDirOf())) };
}

/** A controller that answers; one that runs is left as it is, also when it is of an older build. */
async function makeControllerStep(cli: Cli, daemons: readonly DaemonSpec[]): Promise<HostStep[]> {
  const controller = daemons.filter((daemon) => daemon.name === 'controller');
  const { systemd } = await readHost(cli.context.dataDir);
  const parts: DaemonParts = { systemd, clock: cli.clock, signal: cli.signal, say: () => undefined };
  const running = await Promise.all(controller.map((spec) => isDaemonRunning(spec, parts)));
  return running.every(Boolean) ? [] : makeDaemonSteps(cli, controller);
}

/** The agent first: it reports to the controller while that is there. */
function makeStopSteps(cli: Cli, daemons: readonly DaemonSpec[], forGood = false): HostStep[] {
  return daemons.toReversed().map((spec) => ({
    name: `Stop the ${spec.name}`,
    async run(sayLine, signal) {
      const { systemd } = await readHost(spec.dataDir);
      const parts: DaemonParts = { systemd, clock: cli.clock, signal, say: sayLine };
      const stopped = await stopDaemon(spec, parts);
      if (forGood) await removeDaemon(spec, parts);
      return stopped ? 'stopped' : 'was not running';
    },
  }));
}
