// Compares what is in images and seeds, for people. Apart from the pure comparison (contents.ts), because it reads the
// store and, of a seed, the container.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import {
  type Difference,
  diffContents,
  type FileMarks,
  LIST_PACKAGES,
  parsePackages,
  readFiles,
  unpackFiles,
} from './contents.ts';
import type { ImageParts } from './parts.ts';
import { imageProblems } from './problems.ts';
import { readReadySeed } from './seed-bake.ts';
import { seedInstance } from './seed-store.ts';
import { type ImageRow, nameOf, readImage, readImageFiles } from './store.ts';

/** Paths shown of each kind of change; the counts tell of the rest. */
const SHOWN = 500;

const filesSchema = z.object({ count: z.number(), paths: z.array(z.string()).describe(`The first ${SHOWN}`) });
const versions = z.record(z.string(), z.string());

/** A difference as the API shows it. */
export const differenceSchema = z
  .object({
    from: z.string(),
    to: z.string(),
    same: z.boolean().describe('Neither a package nor a file differs'),
    packages: z.object({
      added: versions,
      removed: versions,
      changed: z.record(z.string(), z.object({ from: z.string(), to: z.string() })),
    }),
    files: z.object({ added: filesSchema, removed: filesSchema, changed: filesSchema }).nullable(),
  })
  .openapi('Difference');
export type DifferenceView = z.infer<typeof differenceSchema>;

function toView(from: string, to: string, { packages, files }: Difference, known: boolean): DifferenceView {
  const shown = (paths: readonly string[]) => ({ count: paths.length, paths: paths.slice(0, SHOWN) });
  const [added, removed, changed] = [shown(files.added), shown(files.removed), shown(files.changed)];
  const counts = [packages.added, packages.removed, packages.changed].map((one) => Object.keys(one).length);
  const same = known && [...counts, added.count, removed.count, changed.count].every((count) => count === 0);
  return { from, to, same, packages, files: known ? { added, removed, changed } : null };
}

async function readMarks(parts: ImageParts, { recipe, number }: ImageRow): Promise<FileMarks | undefined> {
  const packed = await readImageFiles(parts.store, recipe, number);
  return packed === undefined ? undefined : unpackFiles(packed);
}

/** Reads an image; `common.not-found` with what there is not. */
export async function readNamed(parts: ImageParts, recipe: string, number: number): Promise<ImageRow> {
  const image = await readImage(parts.store, recipe, number);
  if (image !== undefined) return image;
  throw commonProblems.make('not-found', { noun: 'image', name: nameOf({ recipe, number }) });
}

/** What changed from one image to the other. Layers have no list of files: `files` is null. */
export async function compareImages(parts: ImageParts, from: ImageRow, to: ImageRow): Promise<DifferenceView> {
  const [before, now] = [await readMarks(parts, from), await readMarks(parts, to)];
  const none: FileMarks = new Map();
  const difference = diffContents(
    { packages: from.packages, files: before ?? none },
    { packages: to.packages, files: now ?? none },
  );
  return toView(nameOf(from), nameOf(to), difference, before !== undefined && now !== undefined);
}

/** What was changed in a seed since the image that it was made from, or last baked to. */
export async function compareSeed(parts: ImageParts, name: string, signal: AbortSignal): Promise<DifferenceView> {
  const { fleet } = parts;
  const seed = await readReadySeed(parts.store, name);
  const instance = seedInstance(name);
  const image = await readNamed(parts, seed.recipe, seed.imageNumber);
  if ((await fleet.instances.read(instance, { signal }))?.status !== 'running')
    throw imageProblems.make('seed-stopped', { seed: name });
  const before = await readMarks(parts, image);
  const { stdout } = await fleet.exec(instance, LIST_PACKAGES, { signal });
  const files: FileMarks = before === undefined ? new Map() : await readFiles(fleet, instance, signal);
  const difference = diffContents(
    { packages: image.packages, files: before ?? new Map() },
    { packages: parsePackages(stdout), files },
  );
  return toView(nameOf(image), `the seed ${name}`, difference, before !== undefined);
}
