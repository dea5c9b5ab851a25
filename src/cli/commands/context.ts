// The context file: shown and written. The token is never printed.
import { readFile } from 'node:fs/promises';
import { type Cli, renderDocument, say } from '../cli.ts';
import { contextPathOf, readContextFile, writeContextFile } from '../context.ts';
import { renderJson } from '../output.ts';
import { type ExitCode, exitCodes } from '../problems.ts';

/** What is in force, after flags, environment and file. */
export async function runContextShow(cli: Cli): Promise<ExitCode> {
  const { token, ca, ...rest } = cli.context;
  const shown = {
    file: contextPathOf(cli.env),
    ...rest,
    ...(token === undefined ? {} : { token: '(set)' }),
    ...(ca === undefined ? {} : { ca: '(set)' }),
  };
  cli.terminal.out(cli.options.json === true ? renderJson(shown) : await renderDocument(shown));
  return exitCodes.done;
}

/** Stores what this call's flags say; what they do not mention stays. */
export async function runContextSet(cli: Cli, caPath: string | undefined): Promise<ExitCode> {
  const path = contextPathOf(cli.env);
  const { url, token, deployment, dataDir } = cli.options;
  const given = {
    url,
    token,
    deployment,
    dataDir,
    ca: caPath === undefined ? undefined : await readFile(caPath, 'utf8'),
  };
  const changes = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  await writeContextFile(path, { ...(await readContextFile(path)), ...changes });
  say(cli, `Written: ${path}`);
  return exitCodes.done;
}
