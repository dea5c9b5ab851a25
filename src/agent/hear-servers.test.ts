// For how long other servers have not answered, as it is told to the controller.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeTestClock } from '../platform/test-clock.ts';
import { makeHearing } from './hear-servers.ts';

test('silence counts from the end of the first attempt in vain, and an answer ends it', async () => {
  const clock = makeTestClock();
  const silent = new Set<string>();
  let frozenMs = 0;
  const hearing = makeHearing(clock, async (address) => {
    // Whoever asks may be frozen himself while he waits for the answer.
    if (frozenMs > 0) await clock.advance(frozenMs);
    if (silent.has(address)) throw new Error('no answer');
  });
  const { signal } = new AbortController();
  const listen = async () => {
    await hearing.listen(signal);
    return hearing.heard();
  };
  hearing.setServers([
    { server: 's2', address: 'a2' },
    { server: 's3', address: 'a3' },
  ]);
  assert.deepEqual(hearing.heard(), [], 'nobody was asked yet');
  assert.deepEqual(await listen(), [
    { server: 's2', silentMs: 0 },
    { server: 's3', silentMs: 0 },
  ]);
  silent.add('a2');
  frozenMs = 60_000;
  assert.deepEqual((await listen())[0], { server: 's2', silentMs: 1 });
  frozenMs = 0;
  await clock.advance(4_000);
  await listen();
  assert.ok((hearing.heard()[0]?.silentMs ?? 0) >= 4_000);
  silent.clear();
  assert.deepEqual((await listen())[0], { server: 's2', silentMs: 0 });
  hearing.setServers([{ server: 's3', address: 'a3' }]);
  assert.deepEqual(
    hearing.heard().map(({ server }) => server),
    ['s3'],
  );
});
