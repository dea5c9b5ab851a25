// list and show, the same for every noun.
import { type Cli, listAll, renderDocument } from '../cli.ts';
import type { PageDocument } from '../documents.ts';
import type { Noun, Row } from '../nouns.ts';
import { renderJson, renderTable } from '../output.ts';
import { type ExitCode, exitCodes } from '../problems.ts';

/** The noun's list as a table; `limit` items from the first page, or all. */
export async function runList(
  cli: Cli,
  noun: Noun,
  query: Record<string, string | undefined>,
  limit?: number,
): Promise<ExitCode> {
  const found =
    limit === undefined
      ? await listAll<Row>(cli, noun.path, query)
      : (
          await cli.client.request<PageDocument<Row>>('GET', noun.path, {
            query: { ...query, pageSize: Math.min(limit, 500) },
            signal: cli.signal,
          })
        ).body.items;
  const items = found.slice(0, limit);
  cli.terminal.out(
    cli.options.json === true ? renderJson({ items }) : renderTable(noun.columns(cli.clock.nowMs()), items),
  );
  return exitCodes.done;
}

/** One thing, whole. An image's name has two parts (`wordpress/3`). */
export async function runShow(cli: Cli, noun: Noun, name: string): Promise<ExitCode> {
  const { body } = await cli.client.request<unknown>(
    'GET',
    `${noun.path}/${name.split('/').map(encodeURIComponent).join('/')}`,
    {
      signal: cli.signal,
    },
  );
  cli.terminal.out(cli.options.json === true ? renderJson(body) : await renderDocument(body));
  return exitCodes.done;
}
