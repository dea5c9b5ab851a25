// What every room is registered with: where its kinds of operations and its loops go. A room's `register.ts` says what the
// room brings, so that what puts the house together need not know.
import type { Loops } from './loops.ts';
import type { Operations } from './operations/operation.ts';
import type { Json } from './store.ts';

/** Lets a loop's work rest while the deployment is down. */
export type WhenUp = (work: (signal: AbortSignal) => Promise<Json>) => (signal: AbortSignal) => Promise<Json>;

export interface House {
  operations: Operations;
  loops: Loops;
  whenUp: WhenUp;
}
