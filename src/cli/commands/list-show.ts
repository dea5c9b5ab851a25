// list and show, the same for every noun.
import { type Cli, readPages, renderDocument } from '../cli.ts';
import type { Noun, Row } from '../nouns.ts';
import { renderJson, renderTable } from '../output.ts';
import { type ExitCode, exitCodes } from '../problems.ts';

/** The API's own bound. */
const LARGEST_PAGE = 500;

export interface ListOptions {
  /** The first so many; all unless told. */
  limit?: number | undefined;
  /** Also rows of the noun's `detailKinds`. */
  all?: true | undefined;
}

/** The noun's list as a table. */
export async function runList(
  cli: Cli,
  noun: Noun,
  query: Record<string, string | undefined>,
  { limit = Number.POSITIVE_INFINITY, all }: ListOptions,
): Promise<ExitCode> {
  const hidden = all === true || query.kind !== undefined ? [] : (noun.detailKinds ?? []);
  const pageSize = hidden.length > 0 ? LARGEST_PAGE : Math.min(limit, LARGEST_PAGE);
  const items: Row[] = [];
  for await (const page of readPages<Row>(cli, noun.path, { ...query, pageSize })) {
    items.push(...page.filter((row) => !hidden.includes(String(row.kind))));
    if (items.length >= limit) break;
  }
  items.splice(limit);
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
