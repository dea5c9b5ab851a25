import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeWave, planBatches } from './plan.ts';
import type { WaveSiteRow } from './store.ts';

const sites = Array.from({ length: 10 }, (_, at) => ({
  id: `s00000000${at}`,
  name: `n${at}`,
  labels: { plan: at < 3 ? 'free' : 'gold' },
}));
const sizes = ({ titles, sites: planned }: ReturnType<typeof planBatches>) =>
  titles.map((title, batch) => [title, planned.filter((one) => one.batch === batch).length]);

void test('canaries go first, then shares of the rest, and each site is in one batch', () => {
  const plan = planBatches(sites, { canaries: ['n7'], labels: [], percents: [10, 50, 100] });
  assert.deepEqual(sizes(plan), [
    ['canary', 1],
    ['10 %', 1],
    ['50 %', 4],
    ['100 %', 4],
  ]);
  assert.equal(plan.sites[0]?.name, 'n7');
  assert.equal(new Set(plan.sites.map(({ site }) => site)).size, 10);
});

void test('labels are batches in the order given, or the choice when shares are given too; empty ones are left out', () => {
  const labels = ['plan=gold', 'plan=none', 'plan=free'];
  assert.deepEqual(sizes(planBatches(sites, { canaries: [], labels, percents: undefined })), [
    ['plan=gold', 7],
    ['plan=free', 3],
  ]);
  const chosen = planBatches(sites, { canaries: [], labels: ['plan=free'], percents: [50, 100] });
  assert.deepEqual(sizes(chosen), [
    ['50 %', 2],
    ['100 %', 1],
  ]);
});

const row = (batch: number, state: WaveSiteRow['state'], name = 'x'): WaveSiteRow => ({
  ...{ wave: 'w', site: name, name, batch, state, reason: 'why', operation: null, snapshot: null },
  ...{ pauseMs: null, upgradeBegun: false, endedAt: null },
});
const rows = (batch: number, count: number, state: WaveSiteRow['state']) =>
  Array.from({ length: count }, () => row(batch, state));
const wave = { stopAt: 0.05, batches: ['canary', '100 %'] };

void test('a canary that fails stops a wave however many sites come after it', () => {
  const { stops } = judgeWave(wave, [row(0, 'failed'), row(0, 'upgraded'), ...rows(1, 98, 'waiting')]);
  assert.equal(stops, '1 of 2 sites up to the batch "canary" failed, more than 5 %');
});

void test('in the last batch the share of all sites may fail, and not one more', () => {
  const first = rows(0, 2, 'upgraded');
  const upTo = (failed: number) =>
    judgeWave(wave, [...first, ...rows(1, failed, 'failed'), ...rows(1, 98 - failed, 'waiting')]);
  assert.deepEqual(upTo(5), { batch: 1, failed: 5, stops: undefined });
  assert.match(upTo(6).stops ?? '', /6 of 100/);
});

void test('a site that needs a person stops the wave whatever its rule is', () => {
  const { stops } = judgeWave({ ...wave, stopAt: 1 }, [row(0, 'stuck', 'acme')]);
  assert.match(stops ?? '', /^acme .* needs a person: why/);
});
