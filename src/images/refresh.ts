// Bakes everything anew from the bottom up, so that every package is the newest: security updates by one command. What
// nodes run is another matter: a roll brings it to them.
import { z } from 'zod';
import {
  type Asker,
  makeOperation,
  type Operation,
  type OperationKind,
  type StepContext,
} from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { bakeNow, ensureFresh } from './bake.ts';
import { assertArchiveAtHand } from './fetch-archive.ts';
import type { ImageParts } from './parts.ts';
import { imageProblems } from './problems.ts';
import { findBakeable } from './recipes.ts';
import { listImages, readNewest } from './store.ts';

/** `bases`: baked whatever they are. `recipes`: what is baked on them. */
const paramsSchema = z.object({ bases: z.array(z.string()), recipes: z.array(z.string()) });
type Params = z.infer<typeof paramsSchema>;

const BAKE_MS = 3_600_000;
const REFRESH_LOCK = 'images:refresh';

/**
 * Begins `image.refresh` in the caller's transaction: of one recipe, or of all that have an image. A newest image that a
 * person baked from a seed has changes which the recipe does not know: `image.from-seed`, unless they may be left out.
 */
export async function startRefresh(
  parts: ImageParts,
  sql: Sql,
  wish: { recipe?: string | undefined; leaveOutSeeds: boolean },
  who: Asker,
): Promise<Operation> {
  const baked = new Set((await listImages(sql)).map(({ recipe }) => recipe));
  const known = parts.shelf.recipes.map(({ value }) => value.name).filter((name) => baked.has(name));
  const recipes = wish.recipe === undefined ? known : [wish.recipe];
  if (recipes.length === 0)
    throw imageProblems.make('none', { recipe: parts.shelf.recipes[0]?.value.name ?? 'an app' });
  for (const recipe of recipes) {
    await assertArchiveAtHand(parts, findBakeable(parts.shelf, recipe));
    const newest = await readNewest(sql, recipe);
    if (newest?.seed == null || wish.leaveOutSeeds) continue;
    throw imageProblems.make('from-seed', { image: `${recipe}/${newest.number}`, seed: newest.seed });
  }
  const bases = [...new Set(recipes.map((recipe) => `base-${findBakeable(parts.shelf, recipe).suite}`))];
  return parts.operations.start(sql, 'image.refresh', { bases, recipes }, who);
}

/** The operation `image.refresh`. What it has baked when it fails stays: each image is whole. */
export function makeImageRefresh(parts: ImageParts): OperationKind<Params> {
  return makeOperation<Params>({
    kind: 'image.refresh',
    params: paramsSchema,
    locks: () => [REFRESH_LOCK],
    title: ({ recipes }) => `Bake ${recipes.join(', ')} anew from the base up`,
    steps: ({ bases, recipes }) => [
      ...bases.map((base) => ({
        name: base,
        timeoutMs: BAKE_MS,
        async do(ctx: StepContext) {
          const { createdAt } = await parts.operations.read(ctx.operationId);
          const newest = await readNewest(parts.store, base);
          // Begun again: this one was baked for it already.
          if (newest !== undefined && Date.parse(newest.createdAt) >= Date.parse(createdAt)) return;
          await bakeNow(parts, base, ctx);
        },
      })),
      ...recipes.map((recipe) => ({
        name: recipe,
        timeoutMs: BAKE_MS,
        do: (ctx: StepContext) => ensureFresh(parts, recipe, ctx),
      })),
    ],
  });
}
