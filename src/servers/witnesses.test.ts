// Who listens to whom, and what counts of what they tell.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeTestClock } from '../platform/test-clock.ts';
import type { ServerState } from './store.ts';
import { makeRing, makeWitnesses } from './witnesses.ts';

test('a server is heard, not heard, or nobody knows freshly', async () => {
  const clock = makeTestClock();
  const witnesses = makeWitnesses(clock);
  assert.deepEqual(witnesses.ask('s2'), { hear: [], deaf: [] });
  witnesses.note('s1', [{ server: 's2', silentMs: 0 }]);
  witnesses.note('s3', [{ server: 's2', silentMs: 1_000 }]);
  witnesses.note('s4', [{ server: 's2', silentMs: 4_000 }]);
  assert.deepEqual(witnesses.ask('s2'), { hear: ['s1'], deaf: ['s4'] });
  await clock.advance(3_000);
  assert.deepEqual(witnesses.ask('s2'), { hear: ['s1'], deaf: ['s3', 's4'] }, 'it was silent before it was told');
  await clock.advance(2_001);
  assert.deepEqual(witnesses.ask('s2'), { hear: [], deaf: [] }, 'the tellers may be lost too');
  witnesses.note('s3', [{ server: 's5', silentMs: 0 }]);
  assert.deepEqual(witnesses.ask('s2'), { hear: [], deaf: [] }, 'who listens to others now says nothing of it');
});

test('an agent that is turned away is known to be there for as long as it knocks', async () => {
  const clock = makeTestClock();
  const witnesses = makeWitnesses(clock);
  witnesses.refuse('s2', 'it speaks protocol 1.');
  assert.deepEqual(witnesses.ask('s2'), { hear: [], deaf: [], refused: 'it speaks protocol 1.' });
  await clock.advance(5_001);
  assert.deepEqual(witnesses.ask('s2'), { hear: [], deaf: [] });
});

const servers = (states: readonly ServerState[]) =>
  states.map((state, index) => ({ name: `rack${index % 5}-s${index}`, state, address: `192.0.2.${index}` }));

test('every server that is neither joining nor fenced has as many listeners as there can be, up to three', () => {
  const state = fc.constantFrom<ServerState>('ready', 'draining', 'lost', 'joining', 'fenced', 'back');
  fc.assert(
    fc.property(fc.array(state, { minLength: 1, maxLength: 40 }), (states) => {
      const all = servers(states);
      const present = all.filter((one) => ['ready', 'draining', 'lost'].includes(one.state));
      const watchedBy = makeRing(all);
      const watched = present.flatMap(({ name }) => watchedBy(name).map(({ server }) => [name, server] as const));
      assert.ok(watched.every(([listener, server]) => listener !== server));
      for (const { name } of present) {
        const listeners = watched.filter(([, server]) => server === name).length;
        assert.equal(listeners, Math.min(3, present.length - 1));
      }
      assert.equal(new Set(watched.map(String)).size, watched.length);
    }),
  );
});
