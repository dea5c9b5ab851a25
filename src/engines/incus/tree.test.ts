import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { readTree, renderTar } from './tree.ts';

const folder = await mkdtemp(join(tmpdir(), 'tree-'));
after(() => rm(folder, { recursive: true }));

void describe('a tree', () => {
  void it('of a folder has its files with their modes, its links, and its empty folders, in order', async () => {
    const top = join(folder, 'top');
    await mkdir(join(top, 'etc/empty'), { recursive: true });
    await writeFile(join(top, 'etc/b.conf'), 'b');
    await writeFile(join(top, 'run.sh'), '#!/bin/sh');
    await chmod(join(top, 'run.sh'), 0o755);
    await chmod(join(top, 'etc/b.conf'), 0o640);
    await chmod(join(top, 'etc/empty'), 0o750);
    await symlink('../run.sh', join(top, 'etc/link'));
    assert.deepEqual(await readTree({ folder: top }), [
      { path: 'etc/b.conf', content: Buffer.from('b'), mode: 0o640 },
      { path: 'etc/empty', directory: true, mode: 0o750 },
      { path: 'etc/link', link: '../run.sh' },
      { path: 'run.sh', content: Buffer.from('#!/bin/sh'), mode: 0o755 },
    ]);
  });

  void it('becomes an archive that tar unpacks, long names included', async () => {
    const long = `${'deep/'.repeat(30)}${'n'.repeat(120)}`;
    const target = 't'.repeat(150);
    const tar = renderTar(
      [
        { path: 'exact', content: 'x'.repeat(512), mode: 0o600 },
        { path: 'empty', content: '' },
        { path: long, content: 'long' },
        { path: 'folder', directory: true, mode: 0o700 },
        { path: 'link', link: target },
        { path: 'grüße', content: 'ü' },
      ],
      '/opt/to/',
    );
    const out = join(folder, 'out');
    await mkdir(out);
    execFileSync('tar', ['-x', '-p', '-f', '-', '-C', out], { input: tar });
    const at = (path: string) => join(out, 'opt/to', path);
    assert.equal((await readFile(at('exact'))).length, 512);
    assert.equal((await stat(at('exact'))).mode & 0o777, 0o600);
    assert.equal((await stat(at('empty'))).size, 0);
    assert.equal((await readFile(at(long))).toString(), 'long');
    assert.equal((await stat(at('folder'))).mode & 0o777, 0o700);
    assert.equal(await readlink(at('link')), target);
    assert.equal((await readFile(at('grüße'))).toString(), 'ü');
  });

  void it('may not lead out of its folder', () => {
    assert.throws(() => renderTar([{ path: '../etc/passwd', content: '' }], '/opt'), /leads out/);
    assert.throws(() => renderTar([{ path: 'a/../../b', content: '' }], '/opt'), /leads out/);
  });
});
