// The end of a roll by a person, and the kept logs of nodes that failed.
import { type Cli, runChange, runFollow, say } from '../cli.ts';
import type { AcceptedDocument, OperationDocument, PageDocument } from '../documents.ts';
import type { Row } from '../nouns.ts';
import { renderAge, renderJson, renderTable, toCell } from '../output.ts';
import { type ExitCode, exitCodes } from '../problems.ts';

const enc = encodeURIComponent;

/** Aborts and follows until the pool has its old image again. Aborted as asked is done, not failed. */
export async function runRollAbort(cli: Cli, pool: string): Promise<ExitCode> {
  const { client, signal, terminal, options } = cli;
  const path = `/v1/pools/${enc(pool)}/roll/abort`;
  if (options.dryRun === true) return await runChange(cli, { method: 'POST', path });
  const { body } = await client.request<AcceptedDocument>('POST', path, { signal });
  const { id } = body.operation;
  if (options.wait === false) {
    terminal.out(options.json === true ? renderJson(body) : `${id}\n`);
    return exitCodes.done;
  }
  const code = await runFollow(cli, id);
  if (code !== exitCodes.failed) return code;
  const after = await client.request<OperationDocument>('GET', `/v1/operations/${enc(id)}`, { signal });
  if (after.body.state !== 'cancelled') return code;
  say(cli, `Aborted, as asked: ${pool} has its old image.`);
  return exitCodes.done;
}

/** Nodes that failed, newest first. */
export async function runNodeLogs(cli: Cli, pool: string | undefined): Promise<ExitCode> {
  const { body } = await cli.client.request<PageDocument<Row>>('GET', '/v1/node-logs', {
    query: { pool },
    signal: cli.signal,
  });
  const field = (title: string) => ({ title, cell: (row: Row) => toCell(row[title]) });
  const age = { title: 'age', cell: (row: Row) => renderAge(row.at as string, cli.clock.nowMs()) };
  const columns = [field('node'), field('pool'), field('image'), age, field('why')];
  cli.terminal.out(cli.options.json === true ? renderJson(body) : renderTable(columns, body.items));
  return exitCodes.done;
}

export async function runNodeLog(cli: Cli, name: string): Promise<ExitCode> {
  const { body } = await cli.client.request<{ log: string; why: string }>('GET', `/v1/node-logs/${enc(name)}`, {
    signal: cli.signal,
  });
  cli.terminal.out(cli.options.json === true ? renderJson(body) : `${body.why}\n\n${body.log}`);
  return exitCodes.done;
}
