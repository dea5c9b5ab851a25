import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeLeaseSwitch, toLeaseTimer } from './lease-switch.ts';

function makeSwitch(left: readonly string[] = []) {
  const time = { nowMs: 100_000 };
  const said: string[] = [];
  const faults: Error[] = [];
  const clock = { nowMs: () => Number.NaN, monotonicMs: () => time.nowMs, wait: () => Promise.reject(new Error('no')) };
  const units = {
    start: async (unit: string) => {
      const fault = faults.pop();
      if (fault !== undefined) throw fault;
      said.push(`start ${unit}`);
    },
    stop: async (unit: string) => said.push(`stop ${unit}`) > 0,
    list: async () => [...left],
  };
  const take = () => said.splice(0);
  return { time, faults, take, leases: makeLeaseSwitch({ units, startMs: 60_000.25, clock }) };
}

void describe('a node’s switch', () => {
  void it('is a timer that counts from the start of the node’s systemd', () => {
    assert.equal(toLeaseTimer(108_000.9, 60_000.25), 'espalier-lease@48000ms.timer');
    assert.equal(toLeaseTimer(50_000, 60_000), 'espalier-lease@0ms.timer');
  });

  void it('is set before runs may live, and ends what an earlier agent had set', async () => {
    const { take, leases } = makeSwitch(['espalier-lease@41000ms.timer']);
    await leases.hold(108_000);
    assert.deepEqual(take(), [
      'start espalier-lease@47999ms.timer',
      'stop espalier-lease@41000ms.timer',
      'start espalier-lease.target',
    ]);
  });

  void it('is set anew when that gives enough, the new timer before the old one is stopped', async () => {
    const { time, take, leases } = makeSwitch();
    await leases.hold(108_000);
    take();
    time.nowMs += 1_000;
    await leases.hold(109_000);
    assert.deepEqual(take(), []);
    time.nowMs += 1_000;
    await leases.hold(110_000);
    assert.deepEqual(take(), ['start espalier-lease@49999ms.timer', 'stop espalier-lease@47999ms.timer']);
  });

  void it('is set to an earlier deadline at once', async () => {
    const { take, leases } = makeSwitch();
    await leases.hold(108_000);
    take();
    await leases.hold(107_900);
    assert.deepEqual(take(), ['start espalier-lease@47899ms.timer', 'stop espalier-lease@47999ms.timer']);
  });

  void it('allows runs again after it went off', async () => {
    const { time, take, leases } = makeSwitch();
    await leases.hold(108_000);
    take();
    time.nowMs = 120_000;
    await leases.hold(128_000);
    assert.deepEqual(take(), [
      'start espalier-lease@67999ms.timer',
      'stop espalier-lease@47999ms.timer',
      'start espalier-lease.target',
    ]);
  });

  void it('that could not be set is set from the beginning the next time', async () => {
    const { faults, take, leases } = makeSwitch(['espalier-lease@41000ms.timer']);
    faults.push(new Error('no answer'));
    await assert.rejects(leases.hold(108_000), /no answer/);
    take();
    await leases.hold(108_000);
    assert.equal(take().length, 3);
  });
});
