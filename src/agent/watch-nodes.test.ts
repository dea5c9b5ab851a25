// Which nodes can serve, by what they answered: one good answer makes a node healthy, two bad ones make it unhealthy.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AgentNode } from '../protocol/contract.ts';
import { makeNodeWatch, type NodeWatch } from './watch-nodes.ts';

const never = new AbortController().signal;
const node = (name: string, wanted = true): AgentNode => ({ name, pool: 'p', address: `10.0.0.${name}`, wanted });

/** A watch over one node whose answers the test gives, one a second. */
function makeTrial() {
  let nowMs = 0;
  const silent = new Set<string>();
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, wait: () => Promise.resolve() };
  const watch: NodeWatch = makeNodeWatch(clock, async (address) => {
    const ok = !silent.has(address);
    return { status: ok ? 200 : 0, ok, detail: ok ? 'answered 200' : 'no answer' };
  });
  const look = async (answers: boolean) => {
    nowMs += 1_000;
    if (answers) silent.delete('10.0.0.1');
    else silent.add('10.0.0.1');
    return (await watch.probeAll(never))[0];
  };
  return { watch, look };
}

void test('a node is unhealthy until it first answers, and healthy from then on', async () => {
  const { watch, look } = makeTrial();
  watch.setNodes([node('1')]);
  assert.deepEqual(await look(false), { name: '1', healthy: false, sinceMs: 0, detail: 'no answer' });
  assert.deepEqual(await look(true), { name: '1', healthy: true, sinceMs: 0, detail: 'answered 200' });
  assert.deepEqual(await look(true), { name: '1', healthy: true, sinceMs: 1_000, detail: 'answered 200' });
});

void test('one lost answer changes nothing; the second in a row does, and counts from there', async () => {
  const { watch, look } = makeTrial();
  watch.setNodes([node('1')]);
  await look(true);
  assert.equal((await look(false))?.healthy, true);
  await look(true);
  assert.deepEqual(await look(false), { name: '1', healthy: true, sinceMs: 3_000, detail: 'no answer' });
  assert.deepEqual(await look(false), { name: '1', healthy: false, sinceMs: 0, detail: 'no answer' });
  assert.deepEqual(await look(false), { name: '1', healthy: false, sinceMs: 1_000, detail: 'no answer' });
});

void test('a node that leaves is probed no more, and one that comes back under its name is new', async () => {
  const { watch, look } = makeTrial();
  watch.setNodes([node('1'), node('2', false)]);
  assert.equal((await watch.probeAll(never)).length, 1);
  await look(true);
  watch.setNodes([]);
  assert.deepEqual(await watch.probeAll(never), []);
  watch.setNodes([node('1')]);
  assert.equal((await look(false))?.healthy, false);
});

void test('whatever the answers: healthy means a good one among the last two, and one at all', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 30 }), async (answers) => {
      const { watch, look } = makeTrial();
      watch.setNodes([node('1')]);
      let changedAt = 0;
      let healthy = false;
      for (const [at, answer] of answers.entries()) {
        const report = await look(answer);
        const expected = answer || (at > 0 && answers[at - 1] === true);
        assert.equal(report?.healthy, expected);
        if (expected !== healthy || at === 0) changedAt = at;
        healthy = expected;
        assert.equal(report?.sinceMs, (at - changedAt) * 1_000);
      }
    }),
  );
});
