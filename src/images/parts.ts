// What every file of this room is given.
import type { runCommand } from '../engines/command.ts';
import type { Fleet } from '../engines/fleet.ts';
import type { Events } from '../platform/events.ts';
import type { Operations } from '../platform/operations/operation.ts';
import type { Store } from '../platform/store.ts';
import type { RecipeShelf } from './recipes.ts';

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
}

/** The operation's lock on everything that is baked under a name. */
export const imageLock = (recipe: string): string => `image:${recipe}`;
