// The two trials themselves: they pass a sound operation, and they find the faults they are made to find.
import assert from 'node:assert/strict';
import { z } from 'zod';
import type { Store } from '../store.ts';
import { readPlatformMigrations, withStores } from '../test-store.ts';
import { makeOperation, type Step } from './operation.ts';
import { assertStepsMayRunTwice, assertSurvivesFaults, type SetUp } from './test-helpers.ts';

/** A world of things; each step makes one, each undo removes it. */
function makeWorld(store: Store, change: (steps: Step[], things: string[]) => Step[] = (steps) => steps): SetUp {
  let worlds = 0;
  return async () => {
    worlds += 1;
    const things: string[] = [];
    const remove = (thing: string) => things.includes(thing) && things.splice(things.indexOf(thing), 1);
    const steps = ['room', 'table', 'chair'].map(
      (name): Step => ({
        name,
        timeoutMs: 5_000,
        async do() {
          if (!things.includes(name)) things.push(name);
        },
        async undo() {
          remove(name);
        },
      }),
    );
    return {
      store,
      kind: 'house.furnish',
      params: { house: worlds },
      register: (operations) =>
        operations.register(
          makeOperation({
            kind: 'house.furnish',
            params: z.object({ house: z.number() }),
            locks: ({ house }) => [`house:${house}`],
            title: ({ house }) => `Furnish house ${house}`,
            steps: () => change(steps, things),
          }),
        ),
      check: async ({ state }) => assert.deepEqual(things, state === 'succeeded' ? ['room', 'table', 'chair'] : []),
    };
  };
}

const alter = (name: string, change: (step: Step) => Partial<Step>) => (steps: Step[]) =>
  steps.map((step) => (step.name === name ? { ...step, ...change(step) } : step));

withStores((test) => {
  test('a sound operation passes both', async ({ store }) => {
    await assertStepsMayRunTwice(makeWorld(store));
    assert.equal(await assertSurvivesFaults(makeWorld(store)), 2 + 3 * 6);
  });

  test('a step that cannot run twice is found by both', async ({ store }) => {
    const careless = makeWorld(store, (steps, things) =>
      alter('table', () => ({ do: async () => void things.push('table') }))(steps),
    );
    await assert.rejects(assertStepsMayRunTwice(careless));
    await assert.rejects(assertSurvivesFaults(careless), /kill after-do of table: engines and store differ/);
  });

  test('an undo that forgets what a step left is found', async ({ store }) => {
    const forgetful = makeWorld(
      store,
      alter('room', () => ({ undo: async () => {} })),
    );
    await assert.rejects(assertStepsMayRunTwice(forgetful));
    await assert.rejects(assertSurvivesFaults(forgetful), /differ after it ended recovered/);
  });

  test('an undo that fails when there is nothing to undo is found', async ({ store }) => {
    const strict = makeWorld(store, (steps, things) =>
      alter('chair', ({ undo }) => ({
        async undo(ctx) {
          if (!things.includes('chair')) throw new Error('there is no chair');
          await undo?.(ctx);
        },
      }))(steps),
    );
    await assert.rejects(assertSurvivesFaults(strict), /fail before-do of chair: it ended fatal/);
  });
}, readPlatformMigrations);
