// A site as a file: fetched under another name until it is whole, and sent piece by piece.
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Cli, runChange, say, toEarnest, toWaiting } from '../cli.ts';
import type { OperationDocument } from '../documents.ts';
import { renderJson } from '../output.ts';
import { cliProblems, type ExitCode, exitCodes } from '../problems.ts';
import { readLogin, renderLogins } from './logins.ts';

const pathOf = (name: string): string => `/v1/sites/${encodeURIComponent(name)}`;
/** What the API takes in one request. */
const PIECE_BYTES = 2 ** 20;
const MB = 2 ** 20;
/** Between two lines of progress. */
const PROGRESS_MS = 2_000;

/** Exports a site into a file of mode 0600; prints its name. */
export async function runSiteExport(given: Cli, name: string, to: string): Promise<ExitCode> {
  if (given.options.dryRun === true) return await runChange(given, { method: 'POST', path: `${pathOf(name)}/export` });
  const cli = toWaiting(toEarnest(given));
  if ((await stat(to).catch(() => undefined)) !== undefined)
    throw cliProblems.make('usage', { why: `${to} is there already; nothing is written over` });
  let number: number | undefined;
  // With --json as well: the operation is not the end of it.
  const shown = { ...cli, options: { ...cli.options, json: false } };
  const code = await runChange(shown, {
    method: 'POST',
    path: `${pathOf(name)}/export`,
    done: async ({ steps }: OperationDocument) => {
      number = ((steps.find((step) => step.name === 'pack')?.output ?? {}) as { number?: number }).number;
      return '';
    },
  });
  if (code !== exitCodes.done || number === undefined) return code;
  await fetchTo(cli, `${pathOf(name)}/snapshots/${number}/export`, to);
  // Waited for, so that the next command finds the site free.
  await runChange(shown, { method: 'DELETE', path: `${pathOf(name)}/snapshots/${number}` });
  cli.terminal.out(cli.options.json === true ? renderJson({ file: to }) : `${to}\n`);
  return exitCodes.done;
}

/** Fetches into a file beside the wanted one, which gets its name when every byte of it is on the disk. */
async function fetchTo(cli: Cli, path: string, to: string): Promise<void> {
  const part = `${to}.part-${randomBytes(4).toString('hex')}`;
  const file = await open(part, 'wx', 0o600);
  try {
    const { bytes, pieces } = await cli.client.download(path, cli.signal);
    const progress = makeProgress(cli, 'Fetched', bytes);
    let fetched = 0;
    for await (const piece of pieces) {
      await file.write(piece);
      fetched += piece.length;
      progress(fetched);
    }
    if (fetched !== bytes)
      throw cliProblems.make('not-reachable', { where: cli.client.where, why: 'the download broke off' });
    await file.sync();
    await file.close();
    await rename(part, to);
    const folder = await open(dirname(to), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (thrown) {
    await file.close().catch(() => undefined);
    await rm(part, { force: true });
    throw thrown;
  }
}

export interface ImportOptions {
  name: string;
  host: string[];
  pool?: string;
  title?: string;
}

/** Imports the file of an exported site; prints the new site's address and first login. */
export async function runSiteImport(cli: Cli, from: string | undefined, options: ImportOptions): Promise<ExitCode> {
  const { name, host: hosts, pool, title } = options;
  if (from === undefined)
    throw cliProblems.make('usage', {
      why: 'Name the file to import, or give --app and --dump for one from elsewhere',
    });
  const upload = await sendFile(cli, from);
  return await runWithUploads(cli, [upload], () =>
    runChange(cli, {
      method: 'POST',
      path: '/v1/sites/import',
      body: { upload, name, hosts, pool, title },
      done: () => renderFirstLogin(cli, name),
    }),
  );
}

/** Runs what uses the uploads; what was refused or only rehearsed leaves none behind. */
export async function runWithUploads(
  cli: Cli,
  uploads: readonly string[],
  work: () => Promise<ExitCode>,
): Promise<ExitCode> {
  const forget = async () => {
    for (const id of uploads) await cli.client.request('DELETE', `/v1/uploads/${id}`).catch(() => undefined);
  };
  try {
    const code = await work();
    if (cli.options.dryRun === true || code === exitCodes.failed) await forget();
    return code;
  } catch (thrown) {
    // Interrupted or cut off: the operation may need them yet.
    if (!cli.signal.aborted && thrown instanceof Error && 'document' in thrown) await forget();
    throw thrown;
  }
}

/** Sends what comes, of which the size is known only about; gives the upload's id. */
export async function sendStream(
  cli: Cli,
  what: string,
  aboutBytes: number,
  pieces: AsyncIterable<Uint8Array>,
): Promise<string> {
  const { client, signal } = cli;
  const { body } = await client.request<{ id: string }>('POST', '/v1/uploads', {
    body: { bytes: Math.max(1, aboutBytes) },
    signal,
  });
  const progress = makeProgress(cli, `Sent of ${what}`, aboutBytes);
  let at = 0;
  let held = Buffer.alloc(0);
  const send = async (piece: Uint8Array) => {
    await client.request('PUT', `/v1/uploads/${body.id}`, { query: { offset: at }, piece, signal });
    at += piece.length;
    progress(Math.min(at, aboutBytes - 1));
  };
  for await (const piece of pieces) {
    held = Buffer.concat([held, piece]);
    while (held.length >= PIECE_BYTES) {
      await send(held.subarray(0, PIECE_BYTES));
      held = held.subarray(PIECE_BYTES);
    }
  }
  if (held.length > 0) await send(held);
  return body.id;
}

/** Sends a file; gives the upload's id. */
export async function sendFile(cli: Cli, from: string): Promise<string> {
  const file = await open(from, 'r').catch((thrown: unknown) => {
    throw cliProblems.make('usage', {
      why: `${from} cannot be read: ${thrown instanceof Error ? thrown.message : ''}`,
    });
  });
  try {
    const { size } = await file.stat();
    if (size === 0) throw cliProblems.make('usage', { why: `${from} is empty` });
    return await sendPieces(cli, from, size, (at) => readPiece(file, at));
  } finally {
    await file.close();
  }
}

async function readPiece(file: FileHandle, at: number): Promise<Uint8Array> {
  const piece = Buffer.alloc(PIECE_BYTES);
  const { bytesRead } = await file.read(piece, 0, PIECE_BYTES, at);
  return piece.subarray(0, bytesRead);
}

async function sendPieces(
  cli: Cli,
  what: string,
  bytes: number,
  read: (at: number) => Promise<Uint8Array>,
): Promise<string> {
  const { client, signal } = cli;
  const begun = await client.request<{ id: string }>('POST', '/v1/uploads', { body: { bytes }, signal });
  const { id } = begun.body;
  const progress = makeProgress(cli, `Sent of ${what}`, bytes);
  for (let at = 0; at < bytes; ) {
    const piece = await read(at);
    if (piece.length === 0) throw cliProblems.make('usage', { why: `${what} became shorter while it was read` });
    await client.request('PUT', `/v1/uploads/${id}`, { query: { offset: at }, piece, signal });
    at += piece.length;
    progress(at);
  }
  return id;
}

/** Says how far something is, every two seconds and at its end when it took longer than that. */
function makeProgress(cli: Cli, what: string, bytes: number): (done: number) => void {
  let saidMs = cli.clock.monotonicMs();
  let hasSaid = false;
  return (done) => {
    const nowMs = cli.clock.monotonicMs();
    if (done < bytes ? nowMs - saidMs < PROGRESS_MS : !hasSaid) return;
    saidMs = nowMs;
    hasSaid = true;
    say(cli, `${what}: ${Math.floor(done / MB)} of ${Math.ceil(bytes / MB)} MB`);
  };
}

export async function renderFirstLogin(cli: Cli, name: string): Promise<string> {
  const site = await cli.client.request<{ name: string; app: string; url: string }>('GET', pathOf(name), {
    signal: cli.signal,
  });
  return renderLogins([await readLogin(cli, site.body)]);
}
