// An installation from elsewhere: its dump and its files are sent, and what the image lacks of it is told at the end.
import { spawn } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cli, runChange, say } from '../cli.ts';
import type { OperationDocument } from '../documents.ts';
import { cliProblems, type ExitCode } from '../problems.ts';
import { type ImportOptions, renderFirstLogin, runWithUploads, sendFile, sendStream } from './transfer.ts';

export interface AdoptionOptions extends ImportOptions {
  app?: string;
  dump?: string;
  files?: string;
  oldUrl?: string[];
  email?: string;
  acceptMissing?: true;
}

/** Sends dump and files and imports them; prints the new site's first login, and what its pool's image lacks. */
export async function runSiteAdopt(cli: Cli, file: string | undefined, options: AdoptionOptions): Promise<ExitCode> {
  const { app, dump: dumpFile, files: filesPath, name, host: hosts, pool, title, email } = options;
  if (file !== undefined)
    throw cliProblems.make('usage', { why: 'Give the file of an export, or --app and --dump, not both' });
  if (app === undefined || dumpFile === undefined)
    throw cliProblems.make('usage', { why: 'An installation from elsewhere needs --app and --dump' });
  const links = (options.oldUrl ?? []).map(toLink);
  const uploads = [await sendFile(cli, dumpFile)];
  const [dump] = uploads;
  return await runWithUploads(cli, uploads, async () => {
    const files = filesPath === undefined ? undefined : await sendFiles(cli, app, filesPath);
    if (files !== undefined) uploads.push(files);
    return await runChange(cli, {
      method: 'POST',
      path: '/v1/sites/adopt',
      body: {
        app,
        dump,
        files,
        name,
        hosts,
        pool,
        title,
        links,
        adminEmail: email,
        acceptMissing: options.acceptMissing,
      },
      done: async (operation) => `${renderMissing(cli, operation)}${await renderFirstLogin(cli, name)}`,
    });
  });
}

/** `https://www.acme.org/blog/` as links name it: without scheme and the slash at its end. */
function toLink(url: string): string {
  try {
    const { host, pathname } = new URL(url);
    return `${host}${pathname}`.replace(/\/+$/, '');
  } catch (thrown) {
    throw cliProblems.make(
      'usage',
      { why: `--old-url takes an address like https://www.acme.org, not "${url}"` },
      thrown,
    );
  }
}

/** A folder's parts that the app's recipe names, packed on the way; an archive as it is. */
async function sendFiles(cli: Cli, app: string, path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw cliProblems.make('usage', { why: `${path} is not there` });
  if (!found.isDirectory()) return await sendFile(cli, path);
  const { body } = await cli.client.request<{ importPaths: string[] }>('GET', `/v1/apps/${encodeURIComponent(app)}`, {
    signal: cli.signal,
  });
  const there: string[] = [];
  let bytes = 0;
  for (const part of body.importPaths) {
    const size = await sizeOf(join(path, part));
    if (size === undefined) continue;
    there.push(part);
    bytes += size;
  }
  if (there.length === 0)
    throw cliProblems.make('usage', {
      why: `${path} has none of ${body.importPaths.join(', ')}; is it the folder of a ${app}?`,
    });
  return await sendStream(cli, path, bytes, packWith(cli, path, there));
}

async function sizeOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || !found.isDirectory()) return found?.size;
  let bytes = 0;
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return bytes;
}

/** What tar writes of these parts of a folder. */
async function* packWith(cli: Cli, folder: string, parts: readonly string[]): AsyncGenerator<Uint8Array> {
  const tar = spawn('tar', ['--create', '--file=-', `--directory=${folder}`, '--', ...parts], {
    stdio: ['ignore', 'pipe', 'inherit'],
    signal: cli.signal,
  });
  const ended = new Promise<number>((resolve, reject) => {
    tar.once('error', reject);
    tar.once('close', (code) => resolve(code ?? 1));
  });
  ended.catch(() => undefined);
  for await (const piece of tar.stdout) yield piece as Uint8Array;
  const code = await ended;
  // 1: a file changed while it was read, as files of a site that serves do.
  if (code > 1) throw cliProblems.make('command-failed', { command: 'tar', ended: `ended with exit code ${code}` });
}

function renderMissing(cli: Cli, { steps }: OperationDocument): string {
  const output = steps.find((step) => step.name === 'tidy')?.output as { missing?: string[] } | null | undefined;
  const missing = output?.missing ?? [];
  if (missing.length > 0) {
    say(cli, `The pool's image lacks what the installation used: ${missing.join(', ')}.`);
    say(cli, 'Put it into a seed and bake an image of it: docs/how-to/change-an-image.md.');
  }
  return '';
}
