import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePageCache } from './memory.ts';
import { renderPart, replacePart } from './page.ts';

void test('only what stands between the marks of a benchmark is replaced', () => {
  const page = 'a\n<!-- measured: up -->\nold\n<!-- end -->\nb\n<!-- measured: heal -->\nkept\n<!-- end -->\n';
  const replaced = page.replace('old\n', 'new\n');
  assert.equal(replacePart(page, 'up', 'new\n'), replaced);
  assert.throws(() => replacePart(page, 'edge', 'x'), /has no part/);
});

void test('a part tells date, commit, machine, the table with its verdicts, and where the time goes', () => {
  const part = renderPart({
    bench: 'up',
    at: '2026-11-21T10:20:30.000Z',
    seconds: 160.4,
    commit: 'abc1234',
    machine: { system: 'Debian', kernel: '6.1', processor: 'A processor', cores: 2, memoryGib: 24, load1: 0.3 },
    rows: [
      { what: 'fresh', measured: '200 s', target: '≤ 180 s', reached: false },
      { what: 'again', measured: '2 s', target: '≤ 10 s', reached: true },
      { what: 'beside it', measured: '1 s' },
    ],
    details: ['1 s  build'],
  });
  assert.equal(
    part,
    [
      'Measured 2026-11-21 10:20 UTC at abc1234 in 160 s on A processor, 2 cores, 24 GiB, Debian, kernel 6.1; load before it 0.3.\n\n',
      '| what | measured | target | reached |\n|---|---|---|---|\n',
      '| fresh | 200 s | ≤ 180 s | **no** |\n| again | 2 s | ≤ 10 s | yes |\n| beside it | 1 s |  |  |\n',
      '\n```\n1 s  build\n```\n',
    ].join(''),
  );
});

void test('the page cache is read from both versions of cgroups', () => {
  assert.equal(parsePageCache('inactive_file 1\nactive_file 2\ntotal_inactive_file 10\ntotal_active_file 20\n'), 30);
  assert.equal(parsePageCache('anon 5\ninactive_file 100\nactive_file 200\n'), 300);
});
