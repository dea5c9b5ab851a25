import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { makeOutputs, wholeCharacters } from './outputs.ts';

void describe('the outputs of a node', () => {
  let root: string;
  let folder: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'espalier-outputs-'));
    folder = join(root, 'run/espalier/runs');
  });
  after(() => rm(root, { recursive: true, force: true }));

  void it('are empty before the node’s first run, and there afterwards', async () => {
    const outputs = makeOutputs(root);
    assert.equal(await outputs.readTail('1-1', 10), '');
    assert.deepEqual(await outputs.list(), []);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, '1-1'), 'hello');
    assert.equal(await outputs.readTail('1-1', 10), 'hello');
    assert.equal(await outputs.readTail('1-1', 3), 'llo');
    await outputs.close();
  });

  void it('are followed by what was written in all, also when the beginning is cut off', async () => {
    const outputs = makeOutputs(root);
    const file = join(folder, '2-1');
    await writeFile(file, 'begin ');
    assert.deepEqual(await outputs.read('2-1', 0), { text: 'begin ', offset: 6 });
    assert.deepEqual(await outputs.read('2-1', 6), { text: '', offset: 6 });
    await appendFile(file, `${'x'.repeat(2 * 1024 * 1024)}end`);
    await outputs.cut('2-1');
    assert.equal((await stat(file)).size, 64 * 1024);
    const all = 6 + 2 * 1024 * 1024 + 3;
    const next = await outputs.read('2-1', 6);
    assert.deepEqual([next.text.length, next.text.slice(-4), next.offset], [64 * 1024, 'xend', all]);
    await appendFile(file, 'more');
    assert.deepEqual(await outputs.read('2-1', all), { text: 'more', offset: all + 4 });
    assert.deepEqual((await outputs.list()).sort(), ['1-1', '2-1']);
    await outputs.remove('2-1');
    await outputs.remove('2-1');
    assert.deepEqual(await outputs.read('2-1', 5), { text: '', offset: 5 });
    await outputs.close();
  });

  void it('are cut between characters', async () => {
    const bytes = Buffer.from('aé€😀');
    assert.deepEqual(wholeCharacters(bytes), { start: 0, end: bytes.length });
    assert.deepEqual(wholeCharacters(bytes.subarray(2, 8)), { start: 1, end: 4 });
    assert.deepEqual(wholeCharacters(bytes.subarray(0, 2)), { start: 0, end: 1 });
    const outputs = makeOutputs(root);
    await writeFile(join(folder, '3-1'), bytes);
    assert.equal(await outputs.readTail('3-1', 5), '😀');
    await outputs.close();
  });

  void it('are never read through a link that somebody laid in the node', async () => {
    await symlink('/etc/passwd', join(folder, '4-1'));
    const outputs = makeOutputs(root);
    await assert.rejects(outputs.readTail('4-1', 10), { code: 'ELOOP' });
    await rm(folder, { recursive: true });
    await symlink('/etc', folder);
    const astray = makeOutputs(root);
    await assert.rejects(astray.readTail('passwd', 10), { code: 'ENOTDIR' });
    await Promise.all([outputs.close(), astray.close()]);
  });
});
