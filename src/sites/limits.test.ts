// What people are told of a change of limits, and which changes are understood.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limitChangesSchema, planLimits } from './limits.ts';

const before = {
  ...{ phpWorkers: 6, phpMemoryMb: 256, requestTimeoutS: 120, uploadMb: 64 },
  ...{ requestsPerS: 50, connections: 100, databaseConnections: 30, statementTimeS: 60 },
};

void test('what changes is said with what it was, and whether PHP starts anew', () => {
  assert.deepEqual(planLimits({ before, limits: { ...before, requestsPerS: 20, connections: 8 } }), [
    'At most 20 requests a second; until now 50.',
    'At most 8 requests at once; until now 100.',
  ]);
  assert.deepEqual(planLimits({ before, limits: { ...before, phpWorkers: 2 } }), [
    'At most 2 PHP processes on each node; until now 6.',
    'Its PHP starts anew with it on each of its nodes.',
  ]);
  assert.deepEqual(planLimits({ before, limits: before }), ['It has these limits already.']);
});

void test('a change names a limit that there is, with a value from 1 on, or null', () => {
  const isGood = (changes: unknown) => limitChangesSchema.safeParse(changes).success;
  assert.ok(isGood({ requestsPerS: 1, phpWorkers: null }));
  for (const bad of [{}, { requestsPerS: 0 }, { connections: 1.5 }, { rate: 5 }, { requestsPerS: undefined }])
    assert.ok(!isGood(bad), JSON.stringify(bad));
});
