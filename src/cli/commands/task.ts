// The verbs of a task that show its runs: history and output.
import { Problem } from '../../lib/errors.ts';
import { type Cli, say } from '../cli.ts';
import type { PageDocument } from '../documents.ts';
import { type Row, runColumns } from '../nouns.ts';
import { renderJson, renderTable } from '../output.ts';
import { cliProblems, type ExitCode, exitCodes } from '../problems.ts';

/** The address of `SITE/NAME`. */
export function taskPath(name: string): string {
  const parts = name.split('/');
  if (parts.length !== 2 || parts.includes(''))
    throw cliProblems.make('usage', { why: `A task is named SITE/NAME, not "${name}"` });
  return `/v1/tasks/${parts.map(encodeURIComponent).join('/')}`;
}

async function listRuns(cli: Cli, name: string, limit: number): Promise<Row[]> {
  const request = { query: { pageSize: Math.min(limit, 500) }, signal: cli.signal };
  return (await cli.client.request<PageDocument<Row>>('GET', `${taskPath(name)}/runs`, request)).body.items.slice(
    0,
    limit,
  );
}

/** Its runs: what waits and lives first, then what ended, the newest first. */
export async function runTaskHistory(cli: Cli, name: string, limit: number): Promise<ExitCode> {
  const items = await listRuns(cli, name, limit);
  cli.terminal.out(
    cli.options.json === true ? renderJson({ items }) : renderTable(runColumns(cli.clock.nowMs()), items),
  );
  return exitCodes.done;
}

interface Piece {
  text: string;
  offset: number;
  ended: boolean;
}

const WAIT_MS = 10_000;
const RETRY_MS = 1_000;

/** Prints the output of a run; with `follow` until it has ended, whatever becomes of the controller meanwhile. */
export async function runTaskLogs(cli: Cli, name: string, options: { run?: number; follow?: true }): Promise<ExitCode> {
  const { client, signal, clock, terminal } = cli;
  const isShown = (run: Row): boolean => run.id !== null && (run.state !== 'queued' || options.follow === true);
  const id = options.run ?? (await listRuns(cli, name, 50)).find(isShown)?.id;
  if (id === undefined || id === null) {
    say(cli, `${name} has not run yet.`);
    return exitCodes.done;
  }
  let offset = 0;
  let last = '';
  for (;;) {
    try {
      const query = { offset, waitMs: options.follow === true ? WAIT_MS : 0 };
      const { body } = await client.request<Piece>('GET', `/v1/runs/${id}/output`, { query, signal });
      terminal.out(cli.options.json === true ? `${JSON.stringify({ run: id, ...body })}\n` : body.text);
      offset = body.offset;
      last = body.text || last;
      if (!body.ended && (options.follow === true || body.text !== '')) continue;
      if (offset === 0 && last === '') say(cli, `Run ${id} wrote nothing${body.ended ? '' : ' yet'}.`);
      // The prompt begins on a line of its own.
      else if (cli.options.json !== true && !last.endsWith('\n')) terminal.out('\n');
      return exitCodes.done;
    } catch (thrown) {
      signal.throwIfAborted();
      const waits = thrown instanceof Problem && (thrown.retryable || thrown.code === 'task.no-output');
      if (!waits || options.follow !== true) throw thrown;
      await clock.wait(RETRY_MS, signal);
    }
  }
}
