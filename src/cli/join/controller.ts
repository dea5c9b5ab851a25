// `controller join` and `controller leave`: a joined server's own controller, which stands by for the one that leads. What it needs
// it gets in exchange for a token, by the certificate with which this server's agent is known.
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultDataDir } from '../../lib/deployment.ts';
import { readIdentity } from '../../lib/identity-file.ts';
import { type Cli, say } from '../cli.ts';
import { cliProblems, type ExitCode, exitCodes } from '../problems.ts';
import { renderDuration } from '../steps/step-tree.ts';
import { removeDaemon, stopDaemon } from '../up/daemon.ts';
import { makeDaemonSteps } from '../up/daemon-steps.ts';
import { type DeploymentSettings, identityPathOf, listDaemons, readSettings, writeSettings } from '../up/deployment.ts';
import { readHost } from '../up/host.ts';
import { projectDirOf, readBuild } from '../up/project.ts';
import type { HostStep } from '../up/run-steps.ts';
import { runLocalSteps } from '../up/up.ts';
import { askDoor } from './door.ts';
import { CONTROLLER_TOKEN, type JoinToken, parseJoinToken } from './token.ts';

const DATABASE_URL = 'ESPALIER_DATABASE_URL';
const keysPathOf = (dataDir: string): string => join(dataDir, 'secret.key');

interface Equipment {
  deployment: string;
  databaseUrl: string;
  keys: string;
}

/** Joins, and ends when the controller here answers. */
export async function runControllerJoin(cli: Cli, text: string): Promise<ExitCode> {
  const startedMs = cli.clock.monotonicMs();
  const token = parseJoinToken(text, CONTROLLER_TOKEN);
  const dataDir = cli.options.dataDir ?? defaultDataDir(token.deployment);
  const before = await readJoined(dataDir);
  if (before.joined.controls === true) {
    say(cli, `This server has a controller of ${before.deployment} already; \`espalier up\` starts it.`);
    return exitCodes.done;
  }
  if (!(await runLocalSteps(cli, [makeEquipStep(token, dataDir, before)]))) return exitCodes.failed;
  const daemons = listDaemons(await readJoined(dataDir), dataDir, await readBuild(projectDirOf()));
  if (!(await runLocalSteps(cli, makeDaemonSteps(cli, daemons)))) return exitCodes.failed;
  const took = renderDuration(cli.clock.monotonicMs() - startedMs);
  say(cli, `A controller stands by on ${before.joined.name}. Joined in ${took}.`);
  return exitCodes.done;
}

/** Ends this server's controller and removes what it was given; the server itself stays. */
export async function runControllerLeave(cli: Cli): Promise<ExitCode> {
  const { dataDir } = cli.context;
  const { joined, env, ...settings } = await readJoined(dataDir);
  const step: HostStep = {
    name: 'Stop the controller',
    async run(sayLine, signal) {
      const { systemd } = await readHost(dataDir);
      const parts = { systemd, clock: cli.clock, signal, say: sayLine };
      const daemon = { name: 'controller' as const, deployment: settings.deployment, dataDir };
      const stopped = await stopDaemon(daemon, parts);
      await removeDaemon(daemon, parts);
      return stopped ? 'stopped' : 'was not running';
    },
  };
  const forget: HostStep = {
    name: 'Remove the keys of the secrets',
    async run() {
      const { controls: _, ...kept } = joined;
      const { [DATABASE_URL]: __, ...rest } = env;
      await writeSettings(dataDir, { ...settings, joined: kept, env: rest });
      for (const path of [keysPathOf(dataDir), join(dataDir, 'controller.id')]) await rm(path, { force: true });
      return dataDir;
    },
  };
  if (!(await runLocalSteps(cli, [step, forget]))) return exitCodes.failed;
  say(cli, `Forget it on the others: espalier controller remove ${joined.name}`);
  return exitCodes.done;
}

type Joined = DeploymentSettings & { joined: NonNullable<DeploymentSettings['joined']> };

async function readJoined(dataDir: string): Promise<Joined> {
  const settings = await readSettings(dataDir);
  const { joined } = settings ?? {};
  if (settings === undefined || joined === undefined) throw cliProblems.make('not-joined', { dataDir });
  return { ...settings, joined };
}

function makeEquipStep(token: JoinToken, dataDir: string, before: Joined): HostStep {
  return {
    name: 'Ask for what a controller needs',
    async run(_, signal) {
      const identity = await readIdentity(identityPathOf(dataDir));
      if (identity === undefined) throw cliProblems.make('not-joined', { dataDir });
      const { key, certificate, authority } = identity;
      const equipment = await askDoor<Equipment>({
        ...{ controller: token.controller, method: 'POST', path: '/v1/equip', signal },
        tls: { ca: authority, key, cert: certificate },
        body: { secret: token.secret },
      });
      await writeKeys(keysPathOf(dataDir), equipment.keys);
      await writeSettings(dataDir, {
        ...before,
        env: { ...before.env, [DATABASE_URL]: equipment.databaseUrl },
        joined: { ...before.joined, controls: true },
      });
      return `from ${token.controller}`;
    },
  };
}

/** Whole or not at all, for root alone. */
async function writeKeys(path: string, text: string): Promise<void> {
  const file = await open(`${path}.new`, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
}
