// A live deployment whose controller is killed at the steps of its operations, with visitors on a site meanwhile. Apart
// because two files of tests share it.
import assert from 'node:assert/strict';
import type { OperationDocument } from '../../src/cli/documents.ts';
import { renderOperation } from './live-api.ts';
import { takeDaemons } from './live-controller.ts';
import { until } from './live-http.ts';
import { type LivePlace, openLivePlace } from './live-place.ts';
import { startVisitor, type Visitor } from './live-visitor.ts';

/** The pool that the visited site lives on. */
export const VISITED_POOL = 'wordpress';

export interface KillPlace extends LivePlace {
  visitor: Visitor;
  /** Ends the controller as `kill -9` does and starts another. */
  restartController(): Promise<void>;
  /**
   * Begins something and kills the controller at each point in order; then one lives, and the operation ends. Without an
   * id from `begin` it is the newest of its kind, which the controller has begun by itself. `firstFault` is met by the
   * first controller beside the first point.
   */
  killAt(
    points: readonly string[],
    begin: () => Promise<string | undefined>,
    firstFault?: string,
  ): Promise<OperationDocument>;
  /** What must hold after every one of them: its state, order in the engines, and no visitor who noticed. */
  assertAllWell(operation: OperationDocument, state: string): Promise<void>;
}

/** Points `KIND/STEP/WHEN` of every step, after it was done and before that was stored: the hardest moment. */
export function afterEach(kind: string, steps: readonly string[], when = 'after-do'): string[] {
  return steps.map((step) => `${kind}/${step}/${when}`);
}

/** Opens the live place and takes its daemons over; `leave` gives them back. */
export async function openKillPlace(): Promise<KillPlace> {
  const place = await openLivePlace();
  const daemons = await takeDaemons(place);
  const { api } = place;
  const visitor = startVisitor(api, { host: 'wordpress.localhost', path: '/', words: 'wp-block' });

  return {
    ...place,
    visitor,
    async restartController() {
      await daemons.controller.kill();
      await daemons.controller.start();
    },
    async killAt(points, begin, firstFault) {
      let begun: { id: string | undefined } | undefined;
      for (const point of points) {
        await daemons.controller.kill();
        const fault = `${point}:kill`;
        const faults = begun === undefined && firstFault !== undefined ? `${firstFault},${fault}` : fault;
        await daemons.controller.start({ fault: faults });
        begun ??= { id: await begin() };
        await daemons.controller.died();
      }
      await daemons.controller.start();
      return await api.ended(begun?.id ?? (await api.readNewest(points[0]?.split('/')[0] ?? '')).id);
    },
    async assertAllWell(operation, state) {
      assert.equal(operation.state, state, renderOperation(operation));
      await api.assertInOrder();
      await until('visitors of another site', 60_000, async () => {
        const { good, bad } = visitor.take();
        assert.deepEqual(bad, [], `visitors of another site, beside ${good} good answers`);
        return good > 0 ? true : undefined;
      });
    },
    async leave() {
      await visitor.stop();
      await daemons.release();
      await place.leave();
    },
  };
}
