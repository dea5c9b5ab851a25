import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Problem } from '../lib/errors.ts';
import {
  assertCron,
  countDue,
  listNext,
  parseEvery,
  readNext,
  renderSchedule,
  type Schedule,
  spreadOffset,
} from './schedule.ts';

const NOW = new Date('2026-03-10T10:00:00Z');
const every = (everyS: number, offsetS = 0): Schedule => ({ everyS, offsetS, cron: null, zone: 'UTC' });
const cron = (text: string, zone = 'UTC'): Schedule => ({ everyS: null, offsetS: 0, cron: text, zone });

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof Problem) return thrown.code;
    throw thrown;
  }
  return 'none';
}

void describe('schedules', () => {
  void it('intervals are read in seconds, and what is no interval is refused', () => {
    assert.deepEqual(['90s', '5m', '2h', '1d'].map(parseEvery), [90, 300, 7_200, 86_400]);
    for (const text of ['0m', '0s', '-5m', '5', 'm', '1.5h', '367d', '5 m', ''])
      assert.equal(
        codeOf(() => parseEvery(text)),
        'task.bad-interval',
        text,
      );
  });

  void it('an impossible cron, a day that never comes and an unknown zone are told apart', () => {
    assert.equal(
      codeOf(() => assertCron('99 2 * * *', 'UTC', NOW)),
      'task.bad-cron',
    );
    assert.equal(
      codeOf(() => assertCron('* * * *', 'UTC', NOW)),
      'task.bad-cron',
    );
    assert.equal(
      codeOf(() => assertCron('* * * * * *', 'UTC', NOW)),
      'task.bad-cron',
    );
    assert.equal(
      codeOf(() => assertCron('30 2 31 2 *', 'UTC', NOW)),
      'task.never-due',
    );
    assert.equal(
      codeOf(() => assertCron('30 2 * * *', 'Europe/Wien', NOW)),
      'task.unknown-zone',
    );
    assert.equal(
      codeOf(() => assertCron('30 2 * * 1-5', 'Europe/Vienna', NOW)),
      'none',
    );
  });

  void it('equal intervals spread over the interval by the task', () => {
    const offsets = Array.from({ length: 3_000 }, (_, index) => spreadOffset(`t${index}`, 300));
    const perMinute = [0, 1, 2, 3, 4].map(
      (minute) => offsets.filter((offset) => Math.floor(offset / 60) === minute).length,
    );
    for (const count of perMinute) assert.ok(count > 500 && count < 700, perMinute.join(' '));
  });

  void it('a next time is after now, on the grid of its schedule, and no later than one step', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100_000 }),
        fc.nat(100_000),
        fc.integer({ min: 1, max: 12 }),
        fc.nat(2e9),
        (step, shift, stretch, second) => {
          const after = new Date(second * 1000 + 250);
          const next = readNext(every(step, shift % step), after, stretch);
          assert.ok(next !== null && next > after && next.getTime() - after.getTime() <= step * stretch * 1000);
          assert.equal((next.getTime() / 1000 - (shift % step)) % (step * stretch), 0);
        },
      ),
    );
  });

  void it('what was due is counted as if it had been listed, also when the stretch has changed', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 500 }),
        fc.nat(499),
        fc.integer({ min: 1, max: 3 }),
        fc.nat(20_000),
        fc.nat(1_000),
        (step, shift, stretch, later, off) => {
          const schedule = every(step, shift % step);
          const first = new Date((1_700_000_000 + off) * 1000);
          const now = new Date(first.getTime() + later * 1000);
          const listed = [first, ...listNext(schedule, first, 20_001, stretch).filter((time) => time <= now)];
          const { ticks, last, next } = countDue(schedule, first, now, stretch);
          assert.equal(ticks, listed.length);
          assert.deepEqual(last, listed.at(-1));
          assert.deepEqual(next, readNext(schedule, now, stretch));
        },
      ),
      { numRuns: 50 },
    );
    const five = cron('*/5 * * * *');
    const first = new Date('2026-03-10T10:00:00Z');
    assert.deepEqual(countDue(five, first, new Date('2026-03-10T10:14:59Z')), {
      ticks: 3,
      last: new Date('2026-03-10T10:10:00Z'),
      next: new Date('2026-03-10T10:15:00Z'),
    });
  });

  void it('the days on which clocks change give the documented counts in each zone', () => {
    const count = (text: string, zone: string, from: string, to: string) => {
      const times = listNext(cron(text, zone), new Date(new Date(from).getTime() - 1_000), 200);
      return times.filter((time) => time < new Date(to)).length;
    };
    // [zone, begin and end of the spring day, begin and end of the autumn day]
    for (const [zone, ...[s0, s1, a0, a1]] of [
      ['Europe/Vienna', '2026-03-28T23:00Z', '2026-03-29T22:00Z', '2026-10-24T22:00Z', '2026-10-25T23:00Z'],
      ['America/New_York', '2026-03-08T05:00Z', '2026-03-09T04:00Z', '2026-11-01T04:00Z', '2026-11-02T05:00Z'],
    ] as const) {
      assert.deepEqual([count('0 * * * *', zone, s0, s1), count('0 * * * *', zone, a0, a1)], [23, 25], zone);
      const hour = zone === 'Europe/Vienna' ? 2 : 2;
      assert.equal(count(`30 ${hour} * * *`, zone, s0, s1), 1, `${zone}: the gap`);
      const overlap = zone === 'Europe/Vienna' ? 2 : 1;
      assert.equal(count(`30 ${overlap} * * *`, zone, a0, a1), 1, `${zone}: the overlap`);
      assert.equal(count(`*/15 ${overlap} * * *`, zone, a0, a1), 8, `${zone}: a pattern in the overlap`);
      assert.equal(count(`*/15 ${hour} * * *`, zone, s0, s1), 0, `${zone}: a pattern in the gap`);
    }
    assert.equal(count('0 * * * *', 'UTC', '2026-03-29T00:00Z', '2026-03-30T00:00Z'), 24);
  });

  void it('schedules are told in words', () => {
    assert.equal(renderSchedule(every(300)), 'every 5 min');
    assert.equal(renderSchedule(every(300), 3), 'every 5 min, now every 15 min');
    assert.equal(renderSchedule(every(90)), 'every 90 s');
    assert.equal(renderSchedule(every(86_400)), 'every 1 day');
    assert.equal(renderSchedule(cron('30 3 * * *', 'Europe/Vienna')), 'every day at 03:30 (Europe/Vienna)');
    assert.equal(renderSchedule(cron('0 4 * * 1')), 'every Monday at 04:00 (UTC)');
    assert.equal(renderSchedule(cron('0 4 1 * *')), 'on day 1 of every month at 04:00 (UTC)');
    assert.equal(renderSchedule(cron('5 * * * *')), 'every hour at minute 5 (UTC)');
    assert.equal(renderSchedule(cron('*/10 * * * *')), 'every 10 min of the hour (UTC)');
    assert.equal(renderSchedule(cron('1-5 2,4 * * *')), 'cron "1-5 2,4 * * *" (UTC)');
    assert.equal(renderSchedule({ everyS: null, offsetS: 0, cron: null, zone: 'UTC' }), 'by hand only');
  });
});
