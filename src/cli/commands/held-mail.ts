// Mail that was put aside instead of sent.
import { type Cli, toEarnest } from '../cli.ts';
import type { PageDocument } from '../documents.ts';
import type { Row } from '../nouns.ts';
import { renderAge, renderJson, renderTable, toCell } from '../output.ts';
import { type ExitCode, exitCodes } from '../problems.ts';

/** All messages in a table, or one as it would have been sent. */
export async function runHeldMail(given: Cli, site: string, message: string | undefined): Promise<ExitCode> {
  const { client, clock, options, signal, terminal } = toEarnest(given);
  const path = `/v1/sites/${encodeURIComponent(site)}/held-mail`;
  if (message !== undefined) {
    const one = `${path}/${encodeURIComponent(message)}`;
    const { body } = await client.request<{ text: string }>('GET', one, { signal });
    terminal.out(options.json === true ? renderJson(body) : body.text);
    return exitCodes.done;
  }
  const { body } = await client.request<PageDocument<Row>>('GET', path, { signal });
  const field = (title: string) => ({ title, cell: (row: Row) => toCell(row[title]) });
  const age = { title: 'age', cell: (row: Row) => renderAge(row.at as string, clock.nowMs()) };
  const columns = [field('name'), age, field('to'), field('subject')];
  terminal.out(options.json === true ? renderJson(body) : renderTable(columns, body.items));
  return exitCodes.done;
}
