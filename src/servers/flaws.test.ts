// What is said of a server that is heard and not well, and what is left unsaid.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listFlaws, readFullDisk } from './flaws.ts';

const GB = 2 ** 30;
const sizes = { cores: 1, load1: 0, cpuPressure: 0, memoryPressure: 0, ioPressure: 0, clockMs: 0 };
const load = {
  ...{ ...sizes, memoryTotalBytes: GB, memoryAvailableBytes: GB, diskTotalBytes: 100 * GB, diskFreeBytes: 50 * GB },
  ...{ storageTotalBytes: 30 * GB, storageFreeBytes: 10 * GB },
};

test('a full disk and a full storage pool are told apart, and an agent that tells of no pool has none that is full', () => {
  assert.equal(readFullDisk({ load }), undefined);
  assert.equal(readFullDisk({ load: undefined }), undefined);
  assert.deepEqual(readFullDisk({ load: { ...load, diskFreeBytes: GB } }), { what: 'disk', freeShare: 0.01 });
  assert.equal(readFullDisk({ load: { ...load, storageFreeBytes: GB / 2 } })?.what, 'storage pool');
  const { storageTotalBytes: _, storageFreeBytes: __, ...older } = load;
  assert.equal(readFullDisk({ load: older }), undefined);
});

test('each flaw is a sentence, and a server that is well has none', () => {
  assert.deepEqual(listFlaws({ load, clockAheadMs: 1_900 }), []);
  assert.deepEqual(listFlaws({ load: { ...load, storageFreeBytes: 0 }, clockAheadMs: -300_400 }), [
    'it has 0 % of its storage pool free: nothing new is placed there',
    'its clock is 300 s behind',
  ]);
  assert.deepEqual(listFlaws({ load, clockAheadMs: 299_700 }), ['its clock is 300 s ahead']);
});
