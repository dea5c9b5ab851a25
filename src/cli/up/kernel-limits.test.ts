// Which limits are raised, and to what.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findLowLimits, kernelLimits, renderSysctl, toProcPath } from './kernel-limits.ts';

void test('only limits that are too low are raised', () => {
  const high = Object.fromEntries(kernelLimits.map((limit) => [limit, 2 ** 31]));
  assert.deepEqual(findLowLimits(high), {});
  assert.deepEqual(findLowLimits({ ...high, 'fs.inotify.max_user_instances': 128 }), {
    'fs.inotify.max_user_instances': 1_048_576,
  });
  assert.deepEqual(findLowLimits({}), {}, 'what cannot be read is left alone');
});

void test('a limit is found under /proc/sys, and the file for the next boot names what was raised', () => {
  assert.equal(toProcPath('fs.inotify.max_user_instances'), '/proc/sys/fs/inotify/max_user_instances');
  assert.equal(toProcPath('fs.aio-max-nr'), '/proc/sys/fs/aio-max-nr');
  assert.equal(
    renderSysctl({ 'kernel.keys.maxkeys': 2_000, 'fs.aio-max-nr': 5 }),
    '# Written by `espalier up`: room for many containers.\nkernel.keys.maxkeys = 2000\nfs.aio-max-nr = 5\n',
  );
});
