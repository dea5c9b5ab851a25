// The verbs of a site.
import { assertConfirmed, type Cli, renderDocument, runChange } from '../cli.ts';
import { renderJson } from '../output.ts';
import { cliProblems, type ExitCode, exitCodes } from '../problems.ts';
import { readLogin, renderLogins } from './logins.ts';

export interface NewSiteOptions {
  app: string;
  host: string[];
  pool?: string;
  title?: string;
  email?: string;
  set?: string[];
}

const pathOf = (name: string): string => `/v1/sites/${encodeURIComponent(name)}`;

/** `key=value` pairs; numbers and booleans are told from text as JSON tells them. */
export function parseSettings(pairs: readonly string[]): Record<string, string | number | boolean> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw cliProblems.make('usage', { why: `--set takes key=value, not "${pair}"` });
      const text = pair.slice(at + 1);
      const value = /^(true|false|-?\d+(\.\d+)?)$/.test(text) ? (JSON.parse(text) as number | boolean) : text;
      return [pair.slice(0, at), value];
    }),
  );
}

async function readSite(cli: Cli, name: string): Promise<{ name: string; app: string; url: string; hosts: string[] }> {
  const request = { signal: cli.signal };
  return (await cli.client.request<Awaited<ReturnType<typeof readSite>>>('GET', pathOf(name), request)).body;
}

/** Address, user and first password. */
export async function runSiteLogin(cli: Cli, name: string): Promise<ExitCode> {
  const login = await readLogin(cli, await readSite(cli, name));
  cli.terminal.out(cli.options.json === true ? renderJson(login) : await renderDocument(login));
  return exitCodes.done;
}

/** Creates a site; prints its address and first login once its first page was seen. */
export function runSiteCreate(cli: Cli, name: string, options: NewSiteOptions): Promise<ExitCode> {
  const { app, host, pool, title, email, set } = options;
  return runChange(cli, {
    method: 'POST',
    path: '/v1/sites',
    body: {
      ...{ name, app, hosts: host, pool, title, adminEmail: email },
      ...(set === undefined ? {} : { settings: parseSettings(set) }),
    },
    done: async () => renderLogins([await readLogin(cli, await readSite(cli, name))]),
  });
}

/** Clones a site; prints the copy's address and its own first login. */
export function runSiteClone(
  cli: Cli,
  source: string,
  name: string,
  {
    host,
    title,
    pool,
    snapshot,
    holdHooks,
  }: { host: string[]; title?: string; pool?: string; snapshot?: number; holdHooks?: true },
): Promise<ExitCode> {
  return runChange(cli, {
    method: 'POST',
    path: `${pathOf(source)}/clone`,
    body: { name, hosts: host, title, pool, snapshot, holdHooks },
    done: async () => renderLogins([await readLogin(cli, await readSite(cli, name))]),
  });
}

/** suspend or resume. */
export function runSiteVerb(cli: Cli, name: string, verb: 'suspend' | 'resume'): Promise<ExitCode> {
  return runChange(cli, { method: 'POST', path: `${pathOf(name)}/${verb}` });
}

/** `key=value` gives a label, `key=` takes it away. */
export function runSiteLabel(cli: Cli, name: string, pairs: readonly string[]): Promise<ExitCode> {
  const labels = pairs.map((pair): [string, string | null] => {
    const at = pair.indexOf('=');
    if (at < 1) throw cliProblems.make('usage', { why: `a label is key=value, not "${pair}"` });
    return [pair.slice(0, at), pair.slice(at + 1) || null];
  });
  return runChange(cli, { method: 'PATCH', path: `${pathOf(name)}/labels`, body: Object.fromEntries(labels) });
}

/** Replaces the host names; the first is the primary one. */
export function runSiteSetHosts(cli: Cli, name: string, hosts: string[]): Promise<ExitCode> {
  return runChange(cli, { method: 'PUT', path: `${pathOf(name)}/hosts`, body: { hosts } });
}

/** Deletes after asking: the final backup stays for the grace time. */
export async function runSiteDelete(cli: Cli, name: string, graceS: number | undefined): Promise<ExitCode> {
  await assertConfirmed(cli, `This takes the site ${name} off line and deletes it after its grace time.`, name);
  return await runChange(cli, { method: 'DELETE', path: pathOf(name), query: { graceS } });
}
