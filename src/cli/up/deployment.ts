// What `up` remembers of a deployment beside its data: how it was started, and with which settings. Apart so that
// `down`, `destroy` and the next `up` act on what there is, not on the flags of the moment.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { cliProblems } from '../problems.ts';
import type { DaemonSpec } from './daemon-spec.ts';
import { projectDirOf } from './project.ts';

const settingsSchema = z.object({
  deployment: z.string(),
  simulated: z.boolean(),
  /** Of the API for others than root on this machine; none by default. */
  apiPort: z.int().min(1).max(65_535).optional(),
  /** The controller's and the agent's settings (`ESPALIER_…`) from the environment of `up`. */
  env: z.record(z.string(), z.string()),
  /** On a server that joined: who it is, and where its controller is (`HOST:PORT`). */
  joined: z
    .object({
      name: z.string(),
      address: z.string(),
      controller: z.string(),
      /** It has a controller of its own, which stands by. */
      controls: z.boolean().optional(),
    })
    .optional(),
});
export type DeploymentSettings = z.infer<typeof settingsSchema>;

/** Of the command line itself, not of the daemons. */
const OWN_VARIABLES = [
  'ESPALIER_URL',
  'ESPALIER_TOKEN',
  'ESPALIER_CONTEXT',
  'ESPALIER_DEPLOYMENT',
  'ESPALIER_DATA_DIR',
];

/** Of all settings, what an agent reads: not the database's password, which the controller alone needs. */
const AGENT_VARIABLES = ['ESPALIER_LOG_LEVEL'];

const pathOf = (dataDir: string): string => join(dataDir, 'deployment.json');

/** Settings of the deployment in this data directory; undefined when there is none. */
export async function readSettings(dataDir: string): Promise<DeploymentSettings | undefined> {
  const text = await readFile(pathOf(dataDir), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return settingsSchema.parse(JSON.parse(text));
  } catch (thrown) {
    throw cliProblems.make('bad-deployment', { path: pathOf(dataDir) }, thrown);
  }
}

/** Writes them (mode 0600: the environment may hold a password) and makes the data directory (0700). */
export async function writeSettings(dataDir: string, settings: DeploymentSettings): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const path = pathOf(dataDir);
  await writeFile(`${path}.new`, `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** The settings to run with: what was given now over what is remembered. Refuses to mix simulated and real. */
export function joinSettings(
  now: { deployment: string; simulated: boolean | undefined; apiPort: number | undefined; env: NodeJS.ProcessEnv },
  before: DeploymentSettings | undefined,
  dataDir: string,
): DeploymentSettings {
  const simulated = now.simulated ?? before?.simulated ?? false;
  if (before !== undefined && (before.deployment !== now.deployment || before.simulated !== simulated)) {
    const kind = before.simulated ? 'simulated' : 'real';
    throw cliProblems.make('other-deployment', { dataDir, found: `the ${kind} deployment "${before.deployment}"` });
  }
  const own = Object.entries(now.env).filter(([name]) => name.startsWith('ESPALIER_') && !OWN_VARIABLES.includes(name));
  const apiPort = now.apiPort ?? before?.apiPort;
  const joined = before?.joined;
  return {
    deployment: now.deployment,
    simulated,
    ...(apiPort === undefined ? {} : { apiPort }),
    ...(joined === undefined ? {} : { joined }),
    env: { ...before?.env, ...Object.fromEntries(own.map(([name, value]) => [name, value ?? ''])) },
  };
}

const pick = (env: Record<string, string>, names: readonly string[]): Record<string, string> =>
  Object.fromEntries(Object.entries(env).filter(([name]) => names.includes(name)));

/** Where a joined server keeps who it is. */
export const identityPathOf = (dataDir: string): string => join(dataDir, 'agent/identity.pem');

/**
 * The two daemons of a deployment. A simulated one has no agent: its controller plays the servers too. A joined server has
 * no controller, unless it was given one.
 */
export function listDaemons(settings: DeploymentSettings, dataDir: string, build: string): DaemonSpec[] {
  const { deployment, simulated, apiPort, joined } = settings;
  const cwd = projectDirOf();
  // Half of a start is reading and compiling our own code.
  const env = { NODE_COMPILE_CACHE: join(dataDir, 'cache/node'), ESPALIER_BUILD: build };
  const common = { deployment, dataDir, cwd, build };
  const controller: DaemonSpec = {
    ...common,
    name: 'controller',
    env: { ...env, ...settings.env },
    argv: [
      ...[process.execPath, join(cwd, 'src/main.ts'), '--deployment', deployment, '--data-dir', dataDir],
      ...(simulated ? ['--simulated'] : []),
      ...(apiPort === undefined ? [] : ['--api-port', String(apiPort)]),
    ],
  };
  const agent: DaemonSpec = {
    ...common,
    name: 'agent',
    env: { ...env, ...pick(settings.env, AGENT_VARIABLES) },
    argv: [
      ...[process.execPath, join(cwd, 'src/agent/main.ts'), '--deployment', deployment],
      ...['--data-dir', dataDir],
      ...(joined === undefined
        ? []
        : [
            ...['--controller', joined.controller, '--identity', identityPathOf(dataDir)],
            ...['--server', joined.name, '--address', joined.address],
          ]),
    ],
  };
  if (joined !== undefined) return joined.controls === true ? [controller, agent] : [agent];
  return simulated ? [controller] : [controller, agent];
}
