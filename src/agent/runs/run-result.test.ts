import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ServiceFacts } from '../../engines/systemd/units.ts';
import { type EndedRun, toRunResult } from './run-result.ts';

const FACTS: ServiceFacts = {
  ...{ activeState: 'active', subState: 'exited', wasActive: true, result: 'success', mainCode: 1, mainStatus: 0 },
  ...{ startedAtUs: 1_000_000_000_000_000, exitedAtUs: 1_000_000_002_000_000 },
  ...{ startedMonotonicUs: 50_000_000, exitedMonotonicUs: 52_000_000 },
};
const KILLED = { ...FACTS, activeState: 'failed', subState: 'failed', result: 'signal', mainCode: 2, mainStatus: 9 };

function toResult(facts: ServiceFacts | undefined, about: Partial<EndedRun> = {}) {
  const usage = { cpuS: 1.5, peakMemoryBytes: 1_000 };
  const known = { killed: undefined, timeoutS: 60, isLeaseOver: false, countsOom: true };
  return toRunResult({ facts, usage, tail: 'said\n', nowMs: 1_000_000_003_000, ...known, ...about });
}
const causeOf = (facts: ServiceFacts | undefined, about?: Partial<EndedRun>) => toResult(facts, about).cause;

void describe('the end of a run', () => {
  void it('by itself has its code, what it used and its times', () => {
    assert.deepEqual(toResult({ ...FACTS, mainStatus: 3 }), {
      ...{ cause: 'exit', code: 3, signal: null, cpuS: 1.5, peakMemoryBytes: 1_000, tail: 'said\n' },
      ...{ startedAt: '2001-09-09T01:46:40.000Z', endedAt: '2001-09-09T01:46:42.000Z' },
    });
  });

  void it('by a signal names it', () => {
    const result = toResult({ ...KILLED, mainStatus: 15 }, { killed: 'cancelled' });
    assert.deepEqual([result.cause, result.code, result.signal], ['killed', null, 'SIGTERM']);
    assert.equal(causeOf({ ...KILLED, mainCode: 3, mainStatus: 11 }), 'killed');
  });

  void it('for want of memory is told by systemd, or taken for it where nobody counts', () => {
    assert.equal(causeOf({ ...KILLED, result: 'oom-kill' }), 'oom');
    assert.equal(causeOf(KILLED, { countsOom: true }), 'killed');
    assert.equal(causeOf(KILLED, { countsOom: false }), 'oom');
    assert.equal(causeOf({ ...KILLED, mainStatus: 15 }, { countsOom: false }), 'killed');
    assert.equal(causeOf(KILLED, { countsOom: false, killed: 'cancelled' }), 'killed');
  });

  void it('by its time is so however it ended, and also when the agent that sent the signal is gone', () => {
    assert.equal(causeOf({ ...KILLED, result: 'timeout' }), 'timeout');
    assert.equal(causeOf({ ...FACTS, mainStatus: 143 }, { killed: 'timeout' }), 'timeout');
    assert.equal(causeOf({ ...KILLED, mainStatus: 15 }, { timeoutS: 2 }), 'timeout');
    assert.equal(causeOf(FACTS, { timeoutS: 2 }), 'exit');
  });

  void it('by its lease is one after the lease’s end, by whomever', () => {
    assert.equal(causeOf(KILLED, { killed: 'lease' }), 'lease');
    assert.equal(causeOf(KILLED, { isLeaseOver: true, countsOom: false }), 'lease');
    assert.equal(causeOf({ ...KILLED, mainStatus: 15 }, { isLeaseOver: true }), 'killed');
    assert.equal(causeOf(FACTS, { isLeaseOver: true }), 'exit');
  });

  void it('before its beginning says why', () => {
    const result = toResult({ ...FACTS, wasActive: false, result: 'exit-code', mainStatus: 217 }, { tail: '' });
    assert.deepEqual([result.cause, result.code, result.startedAt], ['could-not-start', null, null]);
    assert.equal(result.tail, 'the node does not know the site’s user (exit-code, status 217)\n');
  });

  void it('that nobody saw is the lease’s when that was over, and a kill otherwise', () => {
    assert.deepEqual(toResult(undefined, { isLeaseOver: true }), {
      ...{ cause: 'lease', code: null, signal: null, cpuS: 1.5, peakMemoryBytes: 1_000, tail: 'said\n' },
      ...{ startedAt: null, endedAt: '2001-09-09T01:46:43.000Z' },
    });
    assert.equal(causeOf(undefined), 'killed');
    assert.equal(causeOf(undefined, { killed: 'timeout' }), 'timeout');
  });
});
