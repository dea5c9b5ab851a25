import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Problem } from '../lib/errors.ts';
import { type Alert, policySchema } from './policy.ts';
import { boundsAt, toMinuteOfWeek } from './schedule.ts';
import { makePolicy } from './test-policy.ts';

function wrongOf(change: Parameters<typeof makePolicy>[0]): string {
  try {
    makePolicy(change);
    return '';
  } catch (thrown) {
    assert.ok(thrown instanceof Problem);
    assert.equal(thrown.code, 'votes.bad-policy');
    return thrown.document.detail;
  }
}
const alert = (vote: Alert['vote'], is: '>' | '<', threshold: number): Alert => ({
  metric: 'cpu',
  is,
  threshold,
  forS: 60,
  vote,
});

void describe('a policy', () => {
  void it('is refused with everything that is wrong with it, not only the first', () => {
    const wrong = wrongOf({ min: 5, max: 2, decisionPercent: 0, zone: 'Mars/Olympus' });
    assert.match(
      wrong,
      /min 5 is above max 2; the decision threshold must be 1 to 100 %, not 0 %; there is no time zone Mars/,
    );
    assert.match(wrongOf({ decisionPercent: 101 }), /not 101 %/);
  });

  void it('is refused when one value would vote both ways', () => {
    assert.match(wrongOf({ alerts: [alert('grow', '>', 50), alert('shrink', '<', 60)] }), /some values would do both/);
    assert.match(wrongOf({ alerts: [alert('grow', '>', 50), alert('shrink', '>', 60)] }), /some values would do both/);
    assert.equal(wrongOf({ alerts: [alert('grow', '>', 50), alert('shrink', '<', 50)] }), '');
    // The reverse is as good: less free memory means grow.
    assert.equal(wrongOf({ alerts: [alert('grow', '<', 10), alert('shrink', '>', 40)] }), '');
  });

  void it('is refused with durations below nothing', () => {
    for (const change of [{ calmS: -1 }, { stabiliseS: -5 }, { jitterS: -1 }, { intervalS: 0 }])
      assert.equal(
        policySchema.safeParse({ min: 1, max: 2, alerts: [alert('grow', '>', 5)], ...change }).success,
        false,
      );
    assert.equal(
      policySchema.safeParse({ min: 1, max: 2, alerts: [{ ...alert('grow', '>', 5), forS: -1 }] }).success,
      false,
    );
  });

  void it('is refused when a window of the schedule contradicts what holds beside it', () => {
    const window = { days: ['mon' as const], from: '08:00', to: '18:00' };
    assert.match(wrongOf({ schedule: [{ ...window, min: 7 }] }), /window 1 of the schedule has min 7 above max 6/);
    assert.match(wrongOf({ schedule: [window] }), /changes neither min nor max/);
  });

  void it('with nothing at night needs to know after how long, and keeps a worker', () => {
    assert.match(wrongOf({ min: 0 }), /min 0 needs idleS/);
    assert.equal(wrongOf({ min: 0, idleS: 600 }), '');
  });

  void it('is refused when it asks for what cannot be known', () => {
    const url = { ...alert('grow', '>', 5), metric: 'site-number' as const };
    assert.match(wrongOf({ alerts: [url] }), /site-number needs siteNumberUrl/);
    const asked = { alerts: [url], siteNumberUrl: 'http://a.example/number' };
    assert.equal(wrongOf(asked), '');
    assert.match(wrongOf({ ...asked, min: 0, idleS: 600 }), /asking for the number is a visit/);
    assert.match(wrongOf({ alerts: [{ ...url, metric: 'run-queue' }] }), /run-queue is not known of a serving pool/);
  });
});

void describe('a schedule', () => {
  const policy = makePolicy({
    zone: 'Europe/Berlin',
    schedule: [
      { days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '08:00', to: '18:00', min: 4 },
      { days: ['sat'], from: '22:00', to: '02:00', max: 2, min: 1 },
    ],
  });
  const at = (text: string) => {
    const { min, max } = boundsAt(policy, Date.parse(text));
    return [min, max];
  };

  void it('overrides min and max in its own time zone', () => {
    assert.deepEqual(at('2026-01-05T06:59:00Z'), [2, 6]);
    assert.deepEqual(at('2026-01-05T07:00:00Z'), [4, 6]);
    assert.deepEqual(at('2026-01-05T16:59:59Z'), [4, 6]);
    assert.deepEqual(at('2026-01-05T17:00:00Z'), [2, 6]);
    // In summer the same hour of the wall is an hour earlier.
    assert.deepEqual(at('2026-07-06T06:00:00Z'), [4, 6]);
  });

  void it('goes on over midnight and over the end of the week', () => {
    assert.deepEqual(at('2026-01-10T21:30:00Z'), [1, 2]);
    assert.deepEqual(at('2026-01-11T00:30:00Z'), [1, 2]);
    assert.deepEqual(at('2026-01-11T01:00:00Z'), [2, 6]);
    assert.equal(toMinuteOfWeek(Date.parse('2026-01-04T23:59:00Z'), 'UTC'), 7 * 1_440 - 1);
  });
});
