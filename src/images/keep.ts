// Which images are kept, and the removal of the others. Kept are: the last three of each recipe, whatever a pool, a
// node, a service or a seed was made from, and what a person wants kept. A loop removes the rest.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { isHeld } from '../platform/operations/list-all.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { type ImageParts, oneImageLock } from './parts.ts';
import { imageProblems } from './problems.ts';
import { listSeeds } from './seed-store.ts';
import { deleteImage, type ImageRow, listImages, nameOf, readImage, storeImageState } from './store.ts';

/** Of each recipe so many of the newest stay, so that one can go back twice. */
export const KEPT_LAST = 3;

const paramsSchema = z.object({ recipe: z.string(), number: z.int(), fingerprint: z.string() });
type Params = z.infer<typeof paramsSchema>;

/** Who uses each image, by its name. */
export async function readUses(
  parts: ImageParts,
  sql: Sql,
  images: readonly ImageRow[],
): Promise<Map<string, string[]>> {
  const seeds = (await listSeeds(sql)).map((seed) => ({
    image: nameOf({ recipe: seed.recipe, number: seed.imageNumber }),
    by: `the seed ${seed.name}`,
  }));
  const uses = [...(await parts.listUses(sql)), ...seeds];
  const find = (image: ImageRow) =>
    uses.filter((use) => use.image === nameOf(image) || use.image === image.fingerprint);
  return new Map(images.map((image) => [nameOf(image), find(image).map(({ by }) => by)]));
}

/** Images that nothing keeps. `images`: of each recipe the newest first. */
export function chooseOld(images: readonly ImageRow[], isUsed: (image: ImageRow) => boolean): ImageRow[] {
  const ready = images.filter(({ state }) => state === 'ready');
  const isAkin = (image: ImageRow) => (one: ImageRow) => one.recipe === image.recipe && one.ownSite === image.ownSite;
  const placeOf = (image: ImageRow) => ready.filter(isAkin(image)).indexOf(image);
  const goes = (image: ImageRow) => placeOf(image) >= KEPT_LAST && image.keptBecause === null && !isUsed(image);
  // One whose deletion was interrupted is deleted again.
  return images.filter((image) => image.state === 'deleting' || goes(image));
}

/** Begins `image.delete` in the caller's transaction; refused while it is used, or kept by a person. */
export async function startImageDelete(
  parts: ImageParts,
  sql: Sql,
  { recipe, number }: { recipe: string; number: number },
  who: Asker,
): Promise<Operation> {
  const image = await readImage(sql, recipe, number);
  const name = nameOf({ recipe, number });
  if (image === undefined) throw commonProblems.make('not-found', { noun: 'image', name });
  const users = (await readUses(parts, sql, [image])).get(name) ?? [];
  if (users.length > 0) throw imageProblems.make('in-use', { image: name, users: users.join(', ') });
  if (image.keptBecause !== null) throw imageProblems.make('kept', { image: name, why: image.keptBecause });
  const { fingerprint } = image;
  const operation = await parts.operations.start(sql, 'image.delete', { recipe, number, fingerprint }, who);
  await storeImageState(sql, recipe, number, 'deleting');
  return operation;
}

/** The operation `image.delete`. The recipe's lock keeps a bake from beginning on it meanwhile. */
export function makeImageDelete(parts: ImageParts): OperationKind<Params> {
  const { store, fleet, events } = parts;
  return makeOperation<Params>({
    kind: 'image.delete',
    params: paramsSchema,
    locks: ({ recipe, number }) => [oneImageLock(recipe, number)],
    title: ({ recipe, number }) => `Delete the image ${recipe}/${number}`,
    steps: ({ recipe, number, fingerprint }) => [
      {
        name: 'remove',
        timeoutMs: 120_000,
        do: ({ signal }) => fleet.images.delete(fingerprint, { signal }),
        // What is gone stays half deleted, and the loop deletes the rest.
        async undo({ signal }) {
          if ((await fleet.images.read(fingerprint, { signal })) === undefined) return;
          await storeImageState(store, recipe, number, 'ready');
        },
      },
      {
        name: 'forget',
        timeoutMs: 10_000,
        async do({ operationId }) {
          await store.transaction(async (sql) => {
            await deleteImage(sql, recipe, number);
            const subject = oneImageLock(recipe, number);
            await events.append(sql, { kind: 'image.deleted', subject, by: `operation:${operationId}` });
          });
        },
      },
    ],
  });
}

/** Begins the removal of images that nothing keeps; gives their names with the reason. */
export async function removeOld(parts: ImageParts): Promise<Record<string, string>> {
  const { store, operations } = parts;
  const images = await listImages(store);
  const uses = await readUses(parts, store, images);
  const old = chooseOld(images, (image) => (uses.get(nameOf(image)) ?? []).length > 0);
  const began: Record<string, string> = {};
  for (const { recipe, number } of old) {
    if (await isHeld(operations, oneImageLock(recipe, number))) continue;
    const reason = `nothing uses it and ${KEPT_LAST} newer ones are there`;
    await store.transaction((sql) => startImageDelete(parts, sql, { recipe, number }, { by: 'images.keep', reason }));
    began[nameOf({ recipe, number })] = reason;
  }
  return began;
}
