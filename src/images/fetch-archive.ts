// Brings the release archive that a recipe is built from: a path or an address, named by a variable, with its checksum.
import { createHash } from 'node:crypto';
import { access, readFile } from 'node:fs/promises';
import type { ImageParts } from './parts.ts';
import { imageProblems } from './problems.ts';
import type { Bakeable } from './recipes.ts';

const DOWNLOAD_MS = 600_000;

/** Throws `image.no-archive` when the archive that a recipe wants is not named, or its file is not there. Before anything is done. */
export async function assertArchiveAtHand(parts: ImageParts, bakeable: Bakeable): Promise<void> {
  const variable = bakeable.recipe?.value.archive?.variable;
  if (variable === undefined) return;
  const where = parts.environment[variable];
  const recipe = bakeable.name;
  if (where === undefined || where === '') {
    throw imageProblems.make('no-archive', { recipe, variable, why: 'the variable is not set' });
  }
  if (isAddress(where)) return;
  await access(where).catch((thrown: unknown) => {
    throw imageProblems.make(
      'no-archive',
      { recipe, variable, why: `there is no file ${where} that can be read` },
      thrown,
    );
  });
}

const isAddress = (where: string): boolean => /^https?:/.test(where);

/** The archive's bytes; undefined when the recipe wants none. The variable `NAME_SHA256` may give the checksum too. */
export async function fetchArchive(
  parts: ImageParts,
  bakeable: Bakeable,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const wish = bakeable.recipe?.value.archive;
  if (wish === undefined) return undefined;
  const recipe = bakeable.name;
  const where = parts.environment[wish.variable];
  if (where === undefined || where === '') {
    throw imageProblems.make('no-archive', { recipe, variable: wish.variable, why: 'the variable is not set' });
  }
  const fail = (thrown: unknown): never => {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw imageProblems.make('no-archive', { recipe, variable: wish.variable, why }, thrown);
  };
  const bytes = isAddress(where) ? await download(where, signal).catch(fail) : await readFile(where).catch(fail);
  const expected = wish.sha256 ?? parts.environment[`${wish.variable}_SHA256`];
  const actual = createHash('sha256').update(bytes).digest('hex');
  if (expected !== undefined && expected !== actual)
    throw imageProblems.make('wrong-checksum', { recipe, expected, actual });
  return bytes;
}

async function download(address: string, signal: AbortSignal): Promise<Uint8Array> {
  const response = await fetch(address, { signal: AbortSignal.any([signal, AbortSignal.timeout(DOWNLOAD_MS)]) });
  if (!response.ok) throw new Error(`the address answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
