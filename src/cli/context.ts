// Which deployment a command talks to: flags, then environment, then the context file, then defaults. Apart so
// that every command finds the controller in one way.
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { DEFAULT_DEPLOYMENT, defaultDataDir } from '../lib/deployment.ts';
import { cliProblems } from './problems.ts';

/** Where the controller is. Without a `url` it is on this machine, behind the Unix socket in `dataDir`. */
export interface Context {
  deployment: string;
  dataDir: string;
  url?: string;
  token?: string;
  /** The certificate (PEM) to trust for `url`, besides the machine's own authorities. */
  ca?: string;
}

/** What may be given on the command line. */
export interface ContextFlags {
  deployment?: string;
  dataDir?: string;
  url?: string;
  token?: string;
}

const FIELDS = ['deployment', 'dataDir', 'url', 'token', 'ca'] as const;
/** The bridge is named for it (lib/deployment.ts), hence the 14 characters. */
const NAME = /^[a-z][a-z0-9-]{0,13}$/;

/** `$XDG_CONFIG_HOME/espalier/context.json`, or `$ESPALIER_CONTEXT`. */
export function contextPathOf(env: NodeJS.ProcessEnv): string {
  const base = env.XDG_CONFIG_HOME ?? join(env.HOME ?? homedir(), '.config');
  return env.ESPALIER_CONTEXT ?? join(base, 'espalier', 'context.json');
}

/** Where the controller keeps it for root (`lib/deployment.ts`); for anyone else below their home. */
export function dataDirOf(deployment: string, uid: number, env: NodeJS.ProcessEnv): string {
  const systemPath = defaultDataDir(deployment);
  return uid === 0 ? systemPath : join(env.HOME ?? homedir(), '.local/share', basename(systemPath));
}

/** Reads the context file; an absent one is an empty one. A file with a token must be the owner's alone. */
export async function readContextFile(path: string): Promise<Partial<Context>> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return {};
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    throw cliProblems.make('bad-context', { path, why: 'it is not JSON' });
  }
  if (typeof found !== 'object' || found === null)
    throw cliProblems.make('bad-context', { path, why: 'it is no object' });
  for (const [key, value] of Object.entries(found)) {
    if (!FIELDS.some((field) => field === key)) throw cliProblems.make('bad-context', { path, why: `it has "${key}"` });
    if (typeof value !== 'string') throw cliProblems.make('bad-context', { path, why: `"${key}" is no text` });
  }
  if ('token' in found && ((await stat(path)).mode & 0o077) !== 0) {
    throw cliProblems.make('bad-context', { path, why: 'it holds a token and others may read it (chmod 600)' });
  }
  return found;
}

/** Writes the context file, readable by its owner alone. */
export async function writeContextFile(path: string, context: Partial<Context>): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(`${path}.new`, `${JSON.stringify(context, null, 2)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Joins flags, environment, file and defaults; `uid` is the caller's. */
export function makeContext(flags: ContextFlags, env: NodeJS.ProcessEnv, file: Partial<Context>, uid: number): Context {
  const pick = (flag: string | undefined, variable: string | undefined, stored: string | undefined) =>
    flag ?? (variable === '' ? undefined : variable) ?? stored;
  const deployment = pick(flags.deployment, env.ESPALIER_DEPLOYMENT, file.deployment) ?? DEFAULT_DEPLOYMENT;
  if (!NAME.test(deployment)) {
    throw cliProblems.make('usage', { why: `"${deployment}" is no name for a deployment (a-z, 0-9, -, at most 14)` });
  }
  const dataDir = pick(flags.dataDir, env.ESPALIER_DATA_DIR, file.dataDir) ?? dataDirOf(deployment, uid, env);
  const url = pick(flags.url, env.ESPALIER_URL, file.url);
  const token = pick(flags.token, env.ESPALIER_TOKEN, file.token);
  return {
    deployment,
    dataDir,
    ...(url === undefined ? {} : { url }),
    ...(token === undefined ? {} : { token }),
    ...(file.ca === undefined ? {} : { ca: file.ca }),
  };
}
