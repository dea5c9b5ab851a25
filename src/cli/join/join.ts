// `server join`: makes this machine a server of a cluster. Each step finds out what is done already, so a join that was
// interrupted is gone on with by giving the same command again.
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { findContentFault } from '../../lib/content-path.ts';
import { defaultDataDir } from '../../lib/deployment.ts';
import { readIdentity, writeIdentity } from '../../lib/identity-file.ts';
import { PROTOCOL_VERSION, VERSION } from '../../lib/version.ts';
import { type Cli, say } from '../cli.ts';
import { cliProblems, type ExitCode, exitCodes } from '../problems.ts';
import { renderDuration } from '../steps/step-tree.ts';
import { stopDaemon } from '../up/daemon.ts';
import { makeDaemonSteps } from '../up/daemon-steps.ts';
import {
  type DeploymentSettings,
  identityPathOf,
  joinSettings,
  listDaemons,
  readSettings,
  writeSettings,
} from '../up/deployment.ts';
import { readHost } from '../up/host.ts';
import { makeHostSteps } from '../up/prepare-host.ts';
import { projectDirOf, readBuild } from '../up/project.ts';
import type { HostStep } from '../up/run-steps.ts';
import { runLocalSteps } from '../up/up.ts';
import { askDoor, readAuthority } from './door.ts';
import { joinCluster, readMembership } from './incus.ts';
import { type JoinToken, parseJoinToken } from './token.ts';

/** The agent is heard within two seconds of its start. */
const READY_TIMEOUT_MS = 60_000;
const LOOK_EVERY_MS = 250;

interface JoinAnswer {
  server: string;
  certificate: string;
  authority: string;
  engineToken: string | null;
  content: { path: string; id: string } | null;
}

/** What the steps hand on. */
interface Progress {
  authority: string;
  address: string;
  answer: JoinAnswer;
}

/** Joins, and ends when the controller counts this server as ready. */
export async function runJoin(cli: Cli, text: string, options: { address?: string }): Promise<ExitCode> {
  const startedMs = cli.clock.monotonicMs();
  const token = parseJoinToken(text);
  const dataDir = cli.options.dataDir ?? defaultDataDir(token.deployment);
  const before = await readSettings(dataDir);
  if (before !== undefined && before.joined === undefined) {
    throw cliProblems.make('other-deployment', {
      dataDir,
      found: `the deployment "${before.deployment}" with a controller`,
    });
  }
  const progress: Partial<Progress> = {};
  const steps = [
    makeFindStep(token, options.address, progress),
    ...makeHostSteps({ dataDir, env: cli.env, clock: cli.clock }),
    makeAskStep(cli, token, dataDir, progress),
    makeContentStep(progress),
    makeEngineStep(progress),
    makeSettingsStep(cli, token, dataDir, before, progress),
  ];
  if (!(await runLocalSteps(cli, steps))) return exitCodes.failed;
  const settings = await readSettings(dataDir);
  if (settings === undefined) throw cliProblems.make('no-deployment', { dataDir });
  const daemons = listDaemons(settings, dataDir, await readBuild(projectDirOf()));
  const last = [...makeDaemonSteps(cli, daemons), makeReadyStep(cli, token, dataDir)];
  if (!(await runLocalSteps(cli, last))) return exitCodes.failed;
  const took = renderDuration(cli.clock.monotonicMs() - startedMs);
  say(cli, `${settings.joined?.name ?? 'This machine'} is a server of the cluster. Joined in ${took}.`);
  return exitCodes.done;
}

/** What an earlier step must have left. */
function need<K extends keyof Progress>(progress: Partial<Progress>, key: K): Progress[K] {
  const value = progress[key];
  if (value === undefined) throw new Error(`the step that finds out ${key} has not run`);
  return value;
}

/** First, since it needs nothing here: a token that leads nowhere costs no packages. */
function makeFindStep(token: JoinToken, address: string | undefined, progress: Partial<Progress>): HostStep {
  return {
    name: 'Find the controller',
    async run(_, signal) {
      const { authority, ownAddress } = await readAuthority(token.controller, token.fingerprint, signal);
      progress.authority = authority;
      progress.address = address ?? ownAddress;
      return `${token.controller}, from ${progress.address}`;
    },
  };
}

function makeAskStep(cli: Cli, token: JoinToken, dataDir: string, progress: Partial<Progress>): HostStep {
  return {
    name: 'Ask to be let in',
    async run(sayLine, signal) {
      // An agent that a removed server still has must not be let in before its Incus is a member again.
      if (!(await assertJoinable(signal))) {
        const { systemd } = await readHost(dataDir);
        const parts = { systemd, clock: cli.clock, signal, say: sayLine };
        await stopDaemon({ name: 'agent', deployment: token.deployment, dataDir }, parts);
      }
      const key = await readOrMakeKey(dataDir);
      const answer = await askDoor<JoinAnswer>({
        ...{ controller: token.controller, method: 'POST', path: '/v1/join', signal },
        tls: { ca: need(progress, 'authority') },
        body: {
          ...{
            secret: token.secret,
            name: hostname().split('.')[0]?.toLowerCase(),
            address: need(progress, 'address'),
          },
          publicKey: createPublicKey(key).export({ type: 'spki', format: 'pem' }),
          ...{ version: VERSION, protocol: PROTOCOL_VERSION, clockMs: Date.now() },
        },
      });
      const { certificate, authority } = answer;
      await writeIdentity(identityPathOf(dataDir), { key, certificate, authority });
      await rm(keyPathOf(dataDir), { force: true });
      progress.answer = answer;
      return `as ${answer.server}`;
    },
  };
}

/**
 * Whether it is a member already. A machine that carries somebody's containers must not join: their Incus would be taken
 * over.
 */
async function assertJoinable(signal: AbortSignal): Promise<boolean> {
  const { member, instances, networks } = await readMembership(signal);
  if (member !== undefined) return true;
  if (instances === 0 && networks.length === 0) return false;
  const has = instances > 0 ? `${instances} containers` : `the networks ${networks.join(', ')}`;
  throw cliProblems.make('incus-in-use', { has });
}

const keyPathOf = (dataDir: string): string => join(dataDir, 'agent/join.key');

/** The same at each attempt: the token is bound to it. */
async function readOrMakeKey(dataDir: string): Promise<string> {
  const known =
    (await readIdentity(identityPathOf(dataDir)))?.key ??
    (await readFile(keyPathOf(dataDir), 'utf8').catch(() => undefined));
  if (known !== undefined) return known;
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  await mkdir(join(dataDir, 'agent'), { recursive: true, mode: 0o711 });
  await writeFile(keyPathOf(dataDir), privateKey, { mode: 0o600 });
  return privateKey;
}

function makeContentStep(progress: Partial<Progress>): HostStep {
  return {
    name: 'Check the shared folder',
    async run() {
      const { content } = need(progress, 'answer');
      if (content === null) return 'the cluster has none';
      const why = await findContentFault(content.path, content.id);
      if (why !== undefined) throw cliProblems.make('other-content', { why });
      return content.path;
    },
  };
}

function makeEngineStep(progress: Partial<Progress>): HostStep {
  return {
    name: "Join Incus's cluster",
    async run(sayLine, signal) {
      const { server, engineToken } = need(progress, 'answer');
      const { member } = await readMembership(signal);
      if (member === server && engineToken === null) return 'a member already';
      if (member !== undefined) throw cliProblems.make('other-cluster', { member });
      if (engineToken === null) throw cliProblems.make('incus-left', { server });
      await joinCluster({ address: need(progress, 'address'), token: engineToken }, { say: sayLine, signal });
      return undefined;
    },
  };
}

function makeSettingsStep(
  cli: Cli,
  token: JoinToken,
  dataDir: string,
  before: DeploymentSettings | undefined,
  progress: Partial<Progress>,
): HostStep {
  return {
    name: 'Remember the cluster',
    async run() {
      const now = { deployment: token.deployment, simulated: false, apiPort: undefined, env: cli.env };
      const joined = {
        ...(before?.joined?.controls === true ? { controls: true } : {}),
        ...{ name: need(progress, 'answer').server, address: need(progress, 'address') },
        controller: token.controller,
      };
      await writeSettings(dataDir, { ...joinSettings(now, before, dataDir), joined });
      return dataDir;
    },
  };
}

function makeReadyStep(cli: Cli, token: JoinToken, dataDir: string): HostStep {
  const { clock } = cli;
  return {
    name: 'Wait until the controller counts on it',
    async run(sayLine, signal) {
      const identity = await readIdentity(identityPathOf(dataDir));
      if (identity === undefined) throw new Error('the identity was written just now');
      const tls = { ca: identity.authority, key: identity.key, cert: identity.certificate };
      const startedMs = clock.monotonicMs();
      while (clock.monotonicMs() - startedMs < READY_TIMEOUT_MS) {
        const about = { controller: token.controller, method: 'GET', path: '/v1/self', tls, signal } as const;
        const { state, reason } = await askDoor<{ state: string; reason: string }>(about);
        if (state === 'ready') return undefined;
        sayLine(`${state}: ${reason}`);
        await clock.wait(LOOK_EVERY_MS, signal);
      }
      throw cliProblems.make('timed-out', { what: 'The agent', seconds: READY_TIMEOUT_MS / 1000 });
    },
  };
}
