import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { foretell } from './forecast.ts';
import { toSample } from './gather.ts';
import { parseSiteNumber } from './site-number.ts';
import type { SampleRow } from './store.ts';
import { NOW_MS } from './test-policy.ts';

const row = (source: string, figures: SampleRow['figures'], ageMs = 0): SampleRow => ({
  node: 'n1',
  source,
  takenAt: new Date(NOW_MS - ageMs).toISOString(),
  figures,
});
const pool = { nodeMemoryMb: 512, atEdge: true, perNode: {} };

void describe('a sample of a node', () => {
  void it('joins what its agent and all edges tell', () => {
    const sample = toSample(
      [
        row('agent', { cpuPercent: 40, memoryBytes: 256 * 2 ** 20, busyWorkers: 3, workerQueue: 0 }),
        row('edge:e1', { requestsPerS: 10, current: 2, queued: 1, responseTimeMs: 80 }),
        row('edge:e2', { requestsPerS: 5, current: 1, queued: 0, responseTimeMs: 120 }),
      ],
      pool,
      NOW_MS,
    );
    assert.deepEqual(sample?.values, {
      ...{ cpu: 40, 'busy-workers': 3, 'worker-queue': 0, memory: 50 },
      ...{ requests: 15, 'edge-queue': 4, 'response-time': 120 },
    });
    assert.equal(sample?.missing?.['cpu-pressure'], 'its agent does not tell');
  });

  void it('lacks what an edge told too long ago, and a response time when nobody asked', () => {
    const agent = row('agent', { cpuPercent: 1 });
    const old = toSample(
      [agent, row('edge:e1', { requestsPerS: 10, current: 2, queued: 0, responseTimeMs: 80 }, 10_000)],
      pool,
      NOW_MS,
    );
    assert.equal(old?.missing?.['response-time'], 'no edge tells of it');
    assert.equal(old?.values.requests, undefined);
    const idle = toSample(
      [agent, row('edge:e1', { requestsPerS: 0, current: 0, queued: 0, responseTimeMs: 80 })],
      pool,
      NOW_MS,
    );
    assert.deepEqual([idle?.values.requests, idle?.missing?.['response-time']], [0, 'no request came']);
  });

  void it('is none without a word of its agent, whatever the edge says', () => {
    assert.equal(toSample([row('edge:e1', { requestsPerS: 10 })], pool, NOW_MS), undefined);
  });
});

void describe('growth ahead of need', () => {
  const HOUR = 3_600_000;
  const current = Math.floor(NOW_MS / HOUR) * HOUR;
  const weeks = (change: (hour: number, index: number) => number | undefined): Map<number, number> => {
    const hours = new Map<number, number>();
    for (let index = 1; index <= 24 * 8; index += 1) {
      const hour = current - (index - 2) * HOUR;
      const needed = change(new Date(hour).getUTCHours(), index);
      if (needed !== undefined && hour < current) hours.set(hour, needed);
    }
    return hours;
  };
  const daily = (hour: number) => (hour >= 9 && hour < 18 ? 6 : 2);

  void it('is what the same hour needed a week ago, ten minutes before it', () => {
    assert.equal(foretell(weeks(daily), NOW_MS), 6);
    const opening = (minutes: number) =>
      foretell(
        weeks((hour) => (hour >= 13 ? 6 : 2)),
        NOW_MS + minutes * 60_000,
      );
    assert.deepEqual([opening(49), opening(50)], [2, 6]);
  });

  void it('is unknown where the last day was not like the one a week before, or is not known', () => {
    assert.equal(
      foretell(
        weeks((hour, index) => (index < 30 ? 9 - daily(hour) : daily(hour))),
        NOW_MS,
      ),
      undefined,
    );
    assert.equal(
      foretell(
        weeks((hour, index) => (index < 20 ? daily(hour) : undefined)),
        NOW_MS,
      ),
      undefined,
    );
    assert.equal(foretell(new Map(), NOW_MS), undefined);
  });
});

void describe('a number of a site', () => {
  void it('is a number alone or the value of a document, and nothing else', () => {
    assert.equal(parseSiteNumber(' 42\n'), 42);
    assert.equal(parseSiteNumber('{"value": 7.5}'), 7.5);
    for (const text of ['', 'many', '{"value": "7"}', '<html>', 'NaN', '1e999'])
      assert.equal(parseSiteNumber(text), undefined);
  });
});
