// The commands that carry files, and what is read from their output.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePass, renderFirst, renderPass } from './carry.ts';

const way = { folder: 'saaaaaaaaa', as: 'sbbbbbbbbb', from: 'shared', to: 'own' };

void test('the first copy shares blocks, and each pass makes the folders alike to the nanosecond', () => {
  assert.deepEqual(renderFirst(way), ['cp', '--archive', '--reflink=auto', '/from/saaaaaaaaa/.', '/to/sbbbbbbbbb/']);
  assert.deepEqual(renderPass(way), [
    ...['rsync', '--archive', '--hard-links', '--numeric-ids', '--delete', '--stats'],
    ...['--modify-window=-1', '/from/saaaaaaaaa/', '/to/sbbbbbbbbb/'],
  ]);
});

void test('what a pass carried is read from what rsync says', () => {
  const output = `
Number of files: 2,053 (reg: 2,050, dir: 3)
Number of created files: 0
Number of deleted files: 0
Number of regular files transferred: 12
Total file size: 500,008,893 bytes
Total transferred file size: 60,000,000 bytes
`;
  const expected = { files: 2053, bytes: 500_008_893, carriedFiles: 12, carriedBytes: 60_000_000 };
  assert.deepEqual(parsePass(output), expected);
  assert.deepEqual(parsePass(''), { files: 0, bytes: 0, carriedFiles: 0, carriedBytes: 0 });
});
