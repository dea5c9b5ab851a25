// The verbs of a site's snapshots: take, list, restore in place or beside.
import { assertConfirmed, type Cli, runChange } from '../cli.ts';
import type { OperationDocument, PageDocument } from '../documents.ts';
import type { Row } from '../nouns.ts';
import { renderAge, renderJson, renderTable, toCell } from '../output.ts';
import { cliProblems, type ExitCode, exitCodes } from '../problems.ts';
import { runSiteClone } from './site.ts';

const pathOf = (name: string): string => `/v1/sites/${encodeURIComponent(name)}`;

const renderMb = (bytes: unknown): string => (typeof bytes === 'number' ? `${(bytes / 2 ** 20).toFixed(1)} MB` : '');

/** Takes one; prints its number. */
export function runSnapshot(cli: Cli, name: string): Promise<ExitCode> {
  return runChange(cli, {
    method: 'POST',
    path: `${pathOf(name)}/snapshots`,
    done: async ({ steps }: OperationDocument) => {
      const { number } = (steps.find((step) => step.name === 'snapshot')?.output ?? {}) as { number?: number };
      return `${number}\n`;
    },
  });
}

/** All of a site, the newest first. */
export async function runSnapshots(cli: Cli, name: string): Promise<ExitCode> {
  const { body } = await cli.client.request<PageDocument<Row>>('GET', `${pathOf(name)}/snapshots`, {
    signal: cli.signal,
  });
  const field = (title: string) => ({ title, cell: (row: Row) => toCell(row[title]) });
  const columns = [
    ...[field('number'), field('state')],
    { title: 'age', cell: (row: Row) => renderAge(row.createdAt as string, cli.clock.nowMs()) },
    { title: 'database', cell: (row: Row) => renderMb(row.databaseBytes) },
    { title: 'files', cell: (row: Row) => renderMb(row.filesBytes) },
    ...[field('image'), field('reason')],
  ];
  cli.terminal.out(cli.options.json === true ? renderJson(body) : renderTable(columns, body.items));
  return exitCodes.done;
}

export interface RestoreOptions {
  snapshot: number;
  beside?: string;
  host?: string[];
  title?: string;
}

/** In place after asking, or beside as a site of its own. */
export async function runSiteRestore(cli: Cli, name: string, options: RestoreOptions): Promise<ExitCode> {
  const { snapshot, beside, host, title } = options;
  if (beside !== undefined) {
    if (host === undefined) throw cliProblems.make('usage', { why: '--beside makes another site, which needs --host' });
    return await runSiteClone(cli, name, beside, { host, snapshot, ...(title === undefined ? {} : { title }) });
  }
  if (host !== undefined || title !== undefined)
    throw cliProblems.make('usage', { why: '--host and --title go with --beside' });
  const what = `This puts ${name} back to snapshot ${snapshot}; it is closed meanwhile. What it holds now is kept as a snapshot.`;
  await assertConfirmed(cli, what, name);
  return await runChange(cli, { method: 'POST', path: `${pathOf(name)}/restore`, body: { snapshot } });
}
