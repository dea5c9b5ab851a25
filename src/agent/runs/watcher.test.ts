import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { makeSystemClock } from '../../lib/clock.ts';
import { makeSilentLogger } from '../../lib/log.ts';
import { startWatcher } from './watcher.ts';

void describe('the thread that watches leases', () => {
  void it('kills while the main thread is blocked', async () => {
    const cgroup = mkdtempSync(join(tmpdir(), 'espalier-watcher-'));
    const clock = makeSystemClock();
    const killed: number[] = [];
    const { promise: isUp, resolve } = Promise.withResolvers<void>();
    const onKilled = (id: number) => {
      killed.push(id);
      resolve();
    };
    const watcher = startWatcher({ onKilled, log: makeSilentLogger() });
    try {
      watcher.set([{ id: 1, deadlineMs: clock.monotonicMs(), cgroup: '/no-such-group' }]);
      await isUp;
      watcher.drop(1);
      const deadlineMs = clock.monotonicMs() + 100;
      watcher.set([
        { id: 2, deadlineMs, cgroup },
        { id: 3, deadlineMs: deadlineMs + 3_600_000, cgroup: '/another' },
      ]);
      const isKilled = () => {
        try {
          return readFileSync(join(cgroup, 'cgroup.kill'), 'utf8') === '1';
        } catch {
          return false;
        }
      };
      // This very loop is what blocks.
      while (!isKilled()) assert.ok(clock.monotonicMs() < deadlineMs + 20_000, 'nobody killed');
      assert.ok(clock.monotonicMs() >= deadlineMs);
      assert.deepEqual(killed, [1]);
    } finally {
      await watcher.close();
      rmSync(cgroup, { recursive: true });
    }
  });
});
