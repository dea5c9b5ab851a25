// A day of recorded shapes under votes, beside the rules of the HPA and the cheapest schedule; over several seeds of noise.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findCheapest } from './cheapest.ts';
import { compareDay, compareDays, countFlaps, DAY_POLICY } from './compare.ts';
import { makeVotes, runDay } from './day.ts';
import { makeHpa } from './hpa.ts';
import { makeDays, STEP_S } from './traffic.ts';

const SEEDS = 12;

void describe('a day of traffic', () => {
  const all = Array.from({ length: SEEDS }, (_, seed) => compareDays(seed * 100 + 1)).flat();

  void it('sees at most one resize a calm time, no grow-shrink-grow within a window, and no size outside the bounds', () => {
    for (const { day, resizesInCalm, flaps, outOfBounds } of all)
      assert.deepEqual({ day, resizesInCalm, flaps, outOfBounds }, { day, resizesInCalm: 0, flaps: 0, outOfBounds: 0 });
  });

  void it('costs at most 1.3 of the cheapest schedule that keeps the bound', (t) => {
    const worst = Math.max(...all.map(({ costRatio }) => costRatio));
    t.diagnostic(`the dearest of ${all.length} days: ${worst.toFixed(3)}`);
    assert.ok(worst <= 1.3);
  });

  void it('keeps the bound all day on a daily curve', () => {
    for (const { day, overS } of all) if (day === 'daily curve') assert.ok(overS <= 30, `${overS} s over`);
  });

  void it('under a broken image tries again later and later, says why, and grows once the image is good', () => {
    const day = makeDays(1).find(({ name }) => name === 'broken image');
    assert.ok(day);
    const reasons = new Set<string>();
    const report = runDay(
      day,
      makeVotes(DAY_POLICY, ({ reason }) => reasons.add(reason)),
      2,
    );
    assert.ok(report.failed > 0 && report.failed < 15, `${report.failed} nodes failed`);
    assert.ok(
      [...reasons].some((reason) =>
        /but the last (\d+ )?new nodes? failed \(it does not answer\); it is tried again in \d+ s$/.test(reason),
      ),
    );
    const after = report.resizes.find(({ step, to, from }) => step * STEP_S > 11 * 3_600 && to > from);
    assert.ok(after !== undefined && after.step * STEP_S < 12.1 * 3_600);
  });

  void it('shows flaps where there are some: without a window the very same noise gives them', () => {
    const noise = makeDays(1).find(({ name }) => name === 'noise');
    assert.ok(noise);
    const hasty = compareDay(noise, {
      ...DAY_POLICY,
      stabiliseS: 0,
      calmS: 60,
      alerts: DAY_POLICY.alerts.map((alert) => ({ ...alert, forS: 0 })),
    });
    assert.ok(hasty.flaps > 0);
  });
});

void describe('what votes are compared with', () => {
  void it('is the cheapest schedule, which changes at most once a calm time', () => {
    const step = (seconds: number) => seconds / STEP_S;
    const demand = [
      ...Array.from({ length: step(600) }, () => 15),
      ...Array.from({ length: step(100) }, () => 35),
      ...Array.from({ length: step(600) }, () => 15),
    ];
    const rules = { min: 1, max: 8 };
    assert.equal(findCheapest(demand, { ...rules, calmS: 0 }), 1_200 * 2 + 100 * 4);
    assert.equal(findCheapest(demand, { ...rules, calmS: 300 }), 1_000 * 2 + 300 * 4);
    assert.equal(findCheapest(demand, { ...rules, calmS: 3_600 }), 1_300 * 4);
  });

  void it("is the HPA's formula with its tolerance and its window for scaling down", () => {
    const scale = makeHpa({ min: 1, max: 20, target: 8 });
    const ready = (busy: number, count: number) =>
      Array.from({ length: count }, (_, index) => ({ name: `n${index}`, busy }));
    const ask = (atS: number, busy: number, count: number) =>
      scale({ step: atS / STEP_S, wanted: count, ready: ready(busy, count), booting: [], failures: undefined });
    assert.equal(ask(0, 8.7, 4), 4);
    assert.equal(ask(10, 12, 4), 6);
    assert.equal(ask(20, 2, 6), 6);
    assert.equal(ask(300, 2, 6), 6);
    assert.equal(ask(330, 2, 6), 2);
  });

  void it('counts a grow, a shrink and a grow as a flap', () => {
    const resizes = [
      [0, 2, 3],
      [40, 3, 2],
      [80, 2, 3],
    ].map(([step = 0, from = 0, to = 0]) => ({ step, from, to }));
    assert.equal(countFlaps({ wanted: [], nodeSeconds: 0, overS: 0, failed: 0, resizes }), 1);
  });
});
