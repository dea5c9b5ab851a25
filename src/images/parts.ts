// What every file of this room is given.
import type { runCommand } from '../engines/command.ts';
import type { Fleet } from '../engines/fleet.ts';
import type { Events } from '../platform/events.ts';
import type { Operations } from '../platform/operations/operation.ts';
import type { Sql, Store } from '../platform/store.ts';
import type { RecipeShelf } from './recipes.ts';

/** Something above this room that was made from an image, and must be able to be made again. */
export interface ImageUse {
  /** The image's fingerprint, or its name (`recipe/number`). */
  image: string;
  /** What uses it: `the node wordpress-1a2b`. */
  by: string;
}

export interface ImageParts {
  store: Store;
  operations: Operations;
  events: Events;
  fleet: Fleet;
  shelf: RecipeShelf;
  /** A folder on this machine for files on their way into images. */
  scratchDir: string;
  /** Runs mmdebstrap; a twin writes a token instead. */
  buildRootfs?: typeof runCommand;
  /** Values of the variables that recipes name their archives by. */
  environment: Readonly<Record<string, string | undefined>>;
  /** The name of the site of which a copy lives on a seed; undefined when there is none. */
  readStaged(sql: Sql, instance: string): Promise<string | undefined>;
  /** The site of that name or id; undefined when there is none. */
  findSite(sql: Sql, site: string): Promise<{ id: string; name: string; app: string } | undefined>;
  /** Pools, nodes and services that are made from images. */
  listUses(sql: Sql): Promise<ImageUse[]>;
}

/** The operation's lock on everything that is baked under a name. */
export const imageLock = (recipe: string): string => `image:${recipe}`;
/** The operation's lock on a seed. */
export const seedLock = (seed: string): string => `seed:${seed}`;
/** The operation's lock on one image, while it goes. */
export const oneImageLock = (recipe: string, number: number): string => `image:${recipe}/${number}`;
