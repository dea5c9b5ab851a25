import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findShortfalls, renderShortfall } from './spare.ts';
import type { ServerRow } from './store.ts';

const server = (name: string, freeMb: number, state: ServerRow['state'] = 'ready'): ServerRow => ({
  ...{
    name,
    state,
    reason: '',
    address: '',
    version: '',
    domain: name,
    silentMs: 0,
    drainReason: null,
    clockAheadMs: 0,
  },
  ...{ alive: false, isEngineSilent: false, isFenceUp: false, left: [] },
  load: {
    ...{ cores: 2, load1: 0, cpuPressure: 0, memoryPressure: 0, ioPressure: 0, clockMs: 0 },
    ...{ memoryTotalBytes: 0, memoryAvailableBytes: freeMb * 2 ** 20, diskTotalBytes: 0, diskFreeBytes: 0 },
  },
});
const on = (name: string, count: number, memoryMb = 512) =>
  Array.from({ length: count }, () => ({ server: name, memoryMb }));

test('what a lost server carried must fit into what the others have above their reserve', () => {
  const movable = [...on('s1', 2), ...on('s2', 2)];
  assert.deepEqual(findShortfalls([server('s1', 1536), server('s2', 1536)], movable), []);
  const short = findShortfalls([server('s1', 1536), server('s2', 1100)], movable);
  assert.deepEqual(short, [{ server: 's1', carriesMb: 1024, missingMb: 512 }]);
  assert.equal(
    renderShortfall({ server: 's1', carriesMb: 1024, missingMb: 512 }),
    'without s1, 512 of the 1024 MB that it carries would have no place',
  );
});

test('a large container is not split over two servers', () => {
  const three = [server('s1', 600), server('s2', 1024), server('s3', 1024)];
  assert.equal(findShortfalls(three, on('s1', 1, 1000))[0]?.missingMb, 1000);
});

test('a server that is not ready takes nothing, and one alone has no other', () => {
  const movable = on('s1', 1);
  assert.deepEqual(findShortfalls([server('s1', 4096)], movable), []);
  assert.equal(findShortfalls([server('s1', 0), server('s2', 0), server('s3', 9999, 'lost')], movable).length, 1);
});

test('more free memory is never worse', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 64, max: 2048 }), { maxLength: 12 }),
      fc.integer({ min: 0, max: 8192 }),
      (sizes, free) => {
        const movable = sizes.map((memoryMb, at) => ({ server: at % 2 === 0 ? 's1' : 's2', memoryMb }));
        const missing = (mb: number) =>
          findShortfalls([server('s1', mb), server('s2', mb)], movable).reduce((sum, one) => sum + one.missingMb, 0);
        assert.ok(missing(free + 4096) <= missing(free));
      },
    ),
  );
});
