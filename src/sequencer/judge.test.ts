import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { backoffS, breakS, type EndedRun, judge, type RetryPolicy } from './judge.ts';
import { DEFAULT_SETTINGS } from './settings.ts';

const policy: RetryPolicy = { retryLimit: 2, retryFirstS: 30, retryMostS: 600, whenLost: 'fail', barred: null };
const run = (over: Partial<EndedRun>): EndedRun => ({
  ...{
    attempt: 1,
    cancelledBy: null,
    cause: 'exit',
    code: 0,
    signal: null,
    timeoutS: 60,
    memoryMb: 128,
    server: 's1',
    told: '',
  },
  ...over,
});
const half = () => 0.5;

void describe('what an end means', () => {
  void it('each cause has its state and its sentence', () => {
    const told = (over: Partial<EndedRun>) => {
      const { state, what } = judge(run(over), policy, half);
      return `${state}: ${what}`;
    };
    assert.deepEqual(
      [
        told({}),
        told({ code: 3 }),
        told({ cause: 'timeout', code: null }),
        told({ cause: 'oom', code: null }),
        told({ cause: 'killed', code: null, signal: 'SIGTERM' }),
        told({ cause: 'could-not-start', code: null }),
        told({ cause: 'could-not-start', code: null, told: 'there is no such program' }),
        told({ cause: 'killed', code: null, told: 'its node was stopped' }),
        told({ cause: 'lease', code: null }),
        told({ cause: 'reclaimed', code: null }),
        told({ cause: 'killed', code: null, signal: 'SIGKILL', cancelledBy: 'root' }),
      ],
      [
        'succeeded: ended with exit code 0',
        'failed: ended with exit code 3',
        'timed out: killed after its time of 60 s',
        'failed: out of memory (its limit is 128 MB)',
        'failed: killed by SIGTERM from elsewhere',
        'failed: could not be started on s1',
        'failed: could not be started on s1: there is no such program',
        'failed: its node was stopped',
        'lost: killed on s1, which could not renew its lease',
        'lost: no word of it from s1, which did not renew its lease',
        'cancelled: cancelled by root',
      ],
    );
  });

  void it('a run that ended by itself before its cancellation has ended by itself', () => {
    assert.equal(judge(run({ cancelledBy: 'root' }), policy, half).state, 'succeeded');
  });

  void it('failures are tried again within the limit, lost runs only where the task says so', () => {
    assert.equal(judge(run({ code: 1 }), policy, half).why, 'ended with exit code 1; tried again in 23 s');
    assert.equal(
      judge(run({ code: 1, attempt: 3 }), policy, half).why,
      'ended with exit code 1; not tried again: it was attempt 3 of 3',
    );
    assert.equal(judge(run({ cause: 'reclaimed' }), policy, half).retryInS, undefined);
    assert.notEqual(judge(run({ cause: 'reclaimed' }), { ...policy, whenLost: 'retry' }, half).retryInS, undefined);
    assert.equal(
      judge(run({ code: 1 }), { ...policy, barred: 'the task is paused' }, half).why,
      'ended with exit code 1; not tried again: the task is paused',
    );
  });

  void it('backoff doubles up to its most, and half of it at most is chance', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.nat(5000),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (attempt, first, more, chance) => {
          const whole = Math.min(first + more, first * 2 ** (attempt - 1));
          const pause = backoffS({ retryFirstS: first, retryMostS: first + more }, attempt, () => chance);
          assert.ok(pause >= whole / 2 && pause <= whole, `${pause} of ${whole}`);
        },
      ),
    );
  });

  void it('the breaker opens after five failures in a row, and after each failed trial for twice as long', () => {
    const opened = (failures: number, trips: number) => breakS(failures, trips, DEFAULT_SETTINGS);
    assert.deepEqual(
      [opened(4, 0), opened(5, 0), opened(6, 1), opened(7, 2), opened(20, 40)],
      [undefined, 900, 1_800, 3_600, 86_400],
    );
  });
});
