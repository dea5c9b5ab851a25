import assert from 'node:assert/strict';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findContentFault, writeContentMark } from './content-path.ts';

const root = process.getuid?.() === 0;

void test('the mark is written once, and tells a machine that sees the same folder', { skip: !root }, async (t) => {
  const path = await mkdtemp(join(tmpdir(), 'espalier-content-'));
  t.after(() => rm(path, { recursive: true }));
  assert.match((await findContentFault(path, 'one')) ?? '', /not mounted here/);
  assert.equal(await writeContentMark(path, 'one'), 'one');
  assert.equal(await writeContentMark(path, 'two'), 'one', 'the id in force stays');
  assert.equal(await findContentFault(path, 'one'), undefined);
  assert.match((await findContentFault(path, 'two')) ?? '', /another folder/);
  await chown(join(path, '.espalier-content'), 65_534, 65_534);
  assert.match((await findContentFault(path, 'one')) ?? '', /other owners here \(uid 65534/);
});
