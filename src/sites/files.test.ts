import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onlyVanished, renderCopy, renderKeep, renderPutBack } from './files.ts';

void test('files are copied by shared blocks where that can be, and only those of the source site change hands', () => {
  const from = { path: '/srv/content/saaaaaaaaa', uid: 20_001 };
  assert.deepEqual(
    renderCopy(from, { id: 'sbbbbbbbbb', uid: 20_002 }).map(({ argv }) => argv),
    [
      ['cp', '--archive', '--reflink=auto', '/srv/content/saaaaaaaaa/.', '/srv/content/sbbbbbbbbb'],
      ['chown', '--recursive', '--no-dereference', '--from=20001', '20002', '/srv/content/sbbbbbbbbb'],
      ['chown', '--recursive', '--no-dereference', '--from=:20001', ':20002', '/srv/content/sbbbbbbbbb'],
    ],
  );
});

void test('a kept copy has its name only when it is whole', () => {
  const argvs = renderKeep('/srv/content/saaaaaaaaa', '/srv/content/.snapshots/saaaaaaaaa-1').map(({ argv }) =>
    argv.join(' '),
  );
  assert.deepEqual(argvs, [
    'install --directory --mode=0700 /srv/content/.snapshots',
    'rm --recursive --force /srv/content/.snapshots/saaaaaaaaa-1.part /srv/content/.snapshots/saaaaaaaaa-1',
    'cp --archive --reflink=auto --no-target-directory /srv/content/saaaaaaaaa /srv/content/.snapshots/saaaaaaaaa-1.part',
    'mv --no-target-directory /srv/content/.snapshots/saaaaaaaaa-1.part /srv/content/.snapshots/saaaaaaaaa-1',
  ]);
});

void test('a folder that is put back is whole before the old one goes, and lies where only root comes until then', () => {
  const argvs = renderPutBack('/srv/content/.snapshots/saaaaaaaaa-1', 'saaaaaaaaa').map(({ argv }) => argv.join(' '));
  assert.deepEqual(argvs, [
    'rm --recursive --force /srv/content/.snapshots/saaaaaaaaa.new',
    'cp --archive --reflink=auto --no-target-directory /srv/content/.snapshots/saaaaaaaaa-1 /srv/content/.snapshots/saaaaaaaaa.new',
    'rm --recursive --force /srv/content/saaaaaaaaa',
    'mv --no-target-directory /srv/content/.snapshots/saaaaaaaaa.new /srv/content/saaaaaaaaa',
  ]);
});

void test('files that go away while they are copied are no failure, anything else is', () => {
  const vanished = "cp: cannot stat '/srv/content/saaaaaaaaa/uploads/x': No such file or directory\n";
  assert.ok(onlyVanished(1, vanished));
  assert.ok(!onlyVanished(1, `${vanished}cp: error writing 'y': No space left on device\n`));
  assert.ok(!onlyVanished(1, ''));
  assert.ok(!onlyVanished(2, vanished));
});
