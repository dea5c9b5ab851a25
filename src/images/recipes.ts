// What can be baked, by name: a base for each suite, the node layer for each suite, and every recipe; and what each is
// baked from. A thing's hash covers everything below it, so that a newer base makes every image stale.
import { createHash } from 'node:crypto';
import { type BakeLayer, bakeLayers } from '../apps/bake.ts';
import type { Read, ReadRecipe } from '../apps/read-recipe.ts';
import type { Base, Layer, Suite } from '../apps/recipe.ts';
import { imageProblems } from './problems.ts';

/** The recipes as they were read at the start. */
export interface RecipeShelf {
  base: Read<Base>;
  node: Read<Layer>;
  recipes: readonly ReadRecipe[];
}

/** One thing that can be baked. A base has no parent and no layer. */
export interface Bakeable {
  name: string;
  title: string;
  suite: Suite;
  hash: string;
  parent: string | undefined;
  layer: BakeLayer | undefined;
  recipe: ReadRecipe | undefined;
}

const digest = (...parts: string[]): string => createHash('sha256').update(parts.join('\n')).digest('hex');

/** Finds what is baked under a name: `base-trixie`, `node-trixie`, or a recipe's own. `image.no-recipe` when unknown. */
export function findBakeable(shelf: RecipeShelf, name: string): Bakeable {
  const { base, node, recipes } = shelf;
  const recipe = recipes.find((one) => one.value.name === name);
  if (recipe !== undefined) {
    const suite = recipe.value.base;
    const parent = recipe.kind === 'app' ? `node-${suite}` : `base-${suite}`;
    const layer = bakeLayers(recipe, node).at(-1);
    const hash = digest(findBakeable(shelf, parent).hash, recipe.hash);
    return { name, title: recipe.value.title, suite, hash, parent, layer, recipe };
  }
  const [kind, suite] = [name.slice(0, 5), base.value.suites.find((one) => name.endsWith(`-${one}`))];
  if (suite !== undefined && name === `base-${suite}`) {
    const hash = digest(base.hash, suite);
    return { name, title: `Debian ${suite}`, suite, hash, parent: undefined, layer: undefined, recipe: undefined };
  }
  if (suite !== undefined && kind === 'node-') {
    const parent = `base-${suite}`;
    const layer = recipes.filter((one) => one.kind === 'app').flatMap((one) => bakeLayers(one, node).slice(0, -1))[0];
    const hash = digest(findBakeable(shelf, parent).hash, node.hash);
    return { name, title: `nginx and PHP on Debian ${suite}`, suite, hash, parent, layer, recipe: undefined };
  }
  throw imageProblems.make('no-recipe', { recipe: name, known: recipes.map((one) => one.value.name).join(', ') });
}
