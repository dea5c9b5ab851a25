// The verbs of an operation that answer at once, and then follow it to its end.
import { type Cli, runChange, runFollow, say } from '../cli.ts';
import { hasEnded, type OperationDocument } from '../documents.ts';
import { renderJson } from '../output.ts';
import { type ExitCode, exitCodes } from '../problems.ts';

/** Asks, then waits until it has ended unless `--no-wait`. Cancelled as asked is done, not failed. */
export async function runOperationVerb(cli: Cli, id: string, verb: 'cancel' | 'resume' | 'release'): Promise<ExitCode> {
  const path = `/v1/operations/${encodeURIComponent(id)}`;
  if (cli.options.dryRun === true) return await runChange(cli, { method: 'POST', path: `${path}/${verb}` });
  const { body } = await cli.client.request<OperationDocument>('POST', `${path}/${verb}`, { signal: cli.signal });
  if (cli.options.wait === false || hasEnded(body)) {
    cli.terminal.out(cli.options.json === true ? renderJson({ operation: body }) : `${body.state}\n`);
    return exitCodes.done;
  }
  const code = await runFollow(cli, id);
  if (verb !== 'cancel' || code !== exitCodes.failed) return code;
  const after = await cli.client.request<OperationDocument>('GET', path, { signal: cli.signal });
  if (after.body.state !== 'cancelled') return code;
  say(cli, 'Cancelled, as asked.');
  return exitCodes.done;
}
