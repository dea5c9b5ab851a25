import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeLeaseWatch } from './lease-watch.ts';

function makeWatch() {
  const time = { nowMs: 1_000 };
  const kills: string[] = [];
  const told: number[] = [];
  const clock = { nowMs: () => Number.NaN, monotonicMs: () => time.nowMs, wait: () => Promise.reject(new Error('no')) };
  const watch = makeLeaseWatch({ clock, kill: (cgroup) => kills.push(cgroup), onKilled: (id) => told.push(id) });
  return { time, kills, told, watch };
}

void describe('the watch of leases', () => {
  void it('kills at the deadline, not a millisecond before', () => {
    const { time, kills, told, watch } = makeWatch();
    assert.equal(watch.check(), undefined);
    watch.set({ id: 1, deadlineMs: 9_000, cgroup: '/one' });
    watch.set({ id: 2, deadlineMs: 5_000, cgroup: '/two' });
    assert.equal(watch.check(), 4_000);
    time.nowMs = 4_999;
    assert.equal(watch.check(), 1);
    assert.deepEqual(kills, []);
    time.nowMs = 5_000;
    watch.check();
    assert.deepEqual([kills, told], [['/two'], [2]]);
  });

  void it('kills again until it is dropped, since the start may have been under way, and tells once', () => {
    const { time, kills, told, watch } = makeWatch();
    watch.set({ id: 1, deadlineMs: 1_000, cgroup: '/one' });
    assert.equal(watch.check(), 100);
    time.nowMs += 100;
    assert.equal(watch.check(), 100);
    watch.drop(1);
    assert.equal(watch.check(), undefined);
    assert.deepEqual([kills, told], [['/one', '/one'], [1]]);
  });

  void it('lets live what is renewed in time', () => {
    const { time, kills, watch } = makeWatch();
    for (let beat = 0; beat < 20; beat++) {
      watch.set({ id: 1, deadlineMs: time.nowMs + 8_000, cgroup: '/one' });
      time.nowMs += 1_000;
      watch.check();
    }
    assert.deepEqual(kills, []);
    time.nowMs += 7_000;
    watch.check();
    assert.deepEqual(kills, ['/one']);
  });
});
