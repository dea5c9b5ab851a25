// How the runner counts, since its last line is what is believed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTap } from './run.ts';

const block = (line: string, type = 'test', indent = '') =>
  `${indent}${line}\n${indent}  ---\n${indent}  duration_ms: 0.5\n${indent}  type: '${type}'\n${indent}  ...\n`;

void test('tests are counted one by one, suites and unfinished ones not', () => {
  const tap = [
    'TAP version 13\n# Subtest: a\n',
    block('ok 1 - a'),
    block('ok 1 - b', 'test', '    '),
    block('not ok 2 - c', 'test', '    '),
    block('ok 3 - d # SKIP no archive', 'test', '    '),
    block('not ok 2 - s', 'suite'),
    '# Subtest: cut off\n',
  ];
  assert.deepEqual(parseTap(tap.join('')), { passed: 2, failed: 1, skipped: 1 });
  assert.deepEqual(parseTap(''), { passed: 0, failed: 0, skipped: 0 });
});
