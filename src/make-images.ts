// What the images' room is told of the rooms above it: which images are in use, and by whom. Part of the composition root.
import { join } from 'node:path';
import type { ImageParts } from './images/parts.ts';
import { imageProblems } from './images/problems.ts';
import type { RecipeShelf } from './images/recipes.ts';
import { readNewest } from './images/store.ts';
import type { Engines } from './make-engines.ts';
import type { Sql, Store } from './platform/store.ts';
import { listGenerations } from './pools/generations.ts';
import type { PoolParts } from './pools/parts.ts';
import { listRunningRolls } from './pools/roll/store.ts';
import { listNodeImages, listPools, readPool } from './pools/store.ts';
import { listServices } from './services/store.ts';
import { listSites, readSite } from './sites/store.ts';

export function makeImages(given: {
  common: Pick<PoolParts, 'store' | 'operations' | 'events' | 'fleet'>;
  shelf: RecipeShelf;
  dataDir: string;
  environment: ImageParts['environment'];
  buildRootfs: Engines['buildRootfs'];
}): ImageParts {
  const { common, shelf, dataDir, environment, buildRootfs } = given;
  const { store, operations, events, fleet } = common;
  return {
    ...{ store, operations, events, fleet, shelf, environment, buildRootfs, listUses },
    scratchDir: join(dataDir, 'scratch'),
    findSite: readSite,
    async readStaged(sql, instance) {
      if ((await readPool(sql, instance)) === undefined) return undefined;
      return (await listSites(sql, { pool: instance }))[0]?.name ?? 'a copy that is being made or removed';
    },
  };
}

/** Every image that something lives from, or is about to. */
async function listUses(sql: Sql): Promise<{ image: string; by: string }[]> {
  const services = [...(await listServices(sql, 'database')), ...(await listServices(sql, 'cache'))];
  return [
    ...(await listPools(sql)).flatMap((one) =>
      listGenerations(one).map(({ imageNumber }) => ({
        image: `${one.app}/${imageNumber}`,
        by: `the pool ${one.name}`,
      })),
    ),
    ...(await listNodeImages(sql)).map(({ node, image }) => ({ image, by: `the node ${node}` })),
    ...(await listRunningRolls(sql)).map(({ pool, app, toImage }) => ({
      ...{ image: `${app}/${toImage}`, by: `the roll of ${pool}` },
    })),
    ...services.flatMap(({ instance, image }) => (image === null ? [] : [{ image, by: instance }])),
  ];
}

/** The fingerprint of the newest image of a service's recipe. */
export async function readServiceImage(store: Store, recipe: string): Promise<string> {
  const image = await readNewest(store, recipe);
  if (image === undefined) throw imageProblems.make('none', { recipe });
  return image.fingerprint;
}
