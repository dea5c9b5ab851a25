// The commands that carry files, and what is read from their output.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitsOne, renderSource, renderSourceUrl } from './carriers.ts';
import { parsePass, renderFirst, renderPass } from './carry.ts';

const way = { folder: 'saaaaaaaaa', as: 'sbbbbbbbbb', from: 'shared', to: 'own' };

void test('the first copy shares blocks, and each pass makes the folders alike to the nanosecond', () => {
  assert.deepEqual(renderFirst(way), ['cp', '--archive', '--reflink=auto', '/from/saaaaaaaaa/.', '/to/sbbbbbbbbb/']);
  assert.deepEqual(renderPass(way), [
    ...['rsync', '--archive', '--hard-links', '--numeric-ids', '--delete', '--stats'],
    ...['--modify-window=-1', '/from/saaaaaaaaa/', '/to/sbbbbbbbbb/'],
  ]);
});

void test('over the network a pass reads from the other carrier, and gives up when nothing is heard', () => {
  assert.deepEqual(renderPass(way, renderSourceUrl('10.87.0.9')).slice(-5), [
    ...['--timeout=30', '--contimeout=30', '--modify-window=-1'],
    ...['rsync://carrier@10.87.0.9:873/content/', '/to/sbbbbbbbbb/'],
  ]);
});

void test('the carrier that is read from shows one folder, to one address, for one password', () => {
  const lines = renderSource('saaaaaaaaa', '10.87.0.70').split('\n');
  for (const line of [
    ...['path = /from/saaaaaaaaa', 'hosts allow = 10.87.0.70', 'read only = yes', 'list = no', 'auth users = carrier'],
    ...['secrets file = /etc/espalier-carry.secret', 'strict modes = yes'],
  ])
    assert.ok(lines.includes(line), line);
});

void test('one container carries between volumes of a server and from a volume to a shared folder, and no further', () => {
  const volume = (server: string) => ({ server, base: null });
  const folder = (base: number) => ({ server: undefined, base });
  assert.equal(fitsOne(volume('s1'), volume('s1')), true);
  assert.equal(fitsOne(volume('s1'), folder(1)), true);
  assert.equal(fitsOne(volume('s1'), volume('s2')), false);
  assert.equal(fitsOne(folder(1), folder(2)), false);
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
