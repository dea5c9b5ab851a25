// Bakes an app from its recipe alone and compares the image with the last one that was baked so: what a recipe promises can be
// looked at.
import { type Cli, runChange, say, toEarnest, toWaiting } from '../cli.ts';
import type { PageDocument } from '../documents.ts';
import { renderJson } from '../output.ts';
import { type ExitCode, exitCodes } from '../problems.ts';
import { type DifferenceDocument, renderDifference } from './image.ts';

interface ImageDocument {
  recipe: string;
  number: number;
  seed: string | null;
  ownSite: string | null;
}

/** With `isCheck` it fails where packages or files differ. */
export async function runRebuild(given: Cli, app: string, isCheck: boolean): Promise<ExitCode> {
  const cli = toEarnest(toWaiting(given));
  const { client, signal, terminal, options } = cli;
  const readNumbers = async (): Promise<number[]> => {
    const { body } = await client.request<PageDocument<ImageDocument>>('GET', '/v1/images', { signal });
    const alone = body.items.filter(({ recipe, seed, ownSite }) => recipe === app && seed === null && ownSite === null);
    return alone.map(({ number }) => number).sort((one, other) => other - one);
  };
  const [before] = await readNumbers();
  const quiet = { ...cli, terminal: { ...terminal, out: () => undefined } };
  const code = await runChange(quiet, { method: 'POST', path: '/v1/images', body: { recipe: app } });
  if (code !== exitCodes.done) return code;
  const [now] = await readNumbers();
  if (before === undefined || now === undefined || now === before) {
    say(cli, `${app}/${now ?? '?'} is baked; there was none before it to compare it with.`);
    return exitCodes.done;
  }
  const path = `/v1/images/${encodeURIComponent(app)}/${now}/diff`;
  const { body } = await client.request<DifferenceDocument>('GET', path, { query: { from: before }, signal });
  terminal.out(options.json === true ? renderJson(body) : renderDifference(body));
  return isCheck && !body.same ? exitCodes.failed : exitCodes.done;
}
