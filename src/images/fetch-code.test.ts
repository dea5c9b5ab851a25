// A site's own code, from repositories and folders of this machine: what comes is written down exactly, and nothing else comes.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { runCommand } from '../engines/command.ts';
import { renderOverlay } from './code-bake.ts';
import { fetchCode } from './fetch-code.ts';

const folder = await mkdtemp(join(tmpdir(), 'espalier-fetch-'));
after(() => rm(folder, { recursive: true, force: true }));
const signal = AbortSignal.timeout(60_000);
const repository = join(folder, 'repository');
const who = ['-c', 'user.name=Test', '-c', 'user.email=test@example.org'];

const git = async (...argv: string[]): Promise<string> => {
  const { code, stdout, stderr } = await runCommand(['git', '-C', repository, ...who, ...argv], { timeoutMs: 30_000 });
  assert.equal(code, 0, stderr);
  return stdout.toString('utf8').trim();
};
const list = async (tar: string): Promise<string[]> => {
  const { stdout } = await runCommand(['tar', '-tf', tar], { timeoutMs: 30_000 });
  return stdout
    .toString('utf8')
    .split('\n')
    .filter((path) => path !== '' && !path.endsWith('/'))
    .sort();
};
const fetch = async (source: string, ref: string | null = null) => {
  const to = join(folder, 'code.tar');
  return {
    origin: await fetchCode({ source, ref }, { to, work: join(folder, 'work') }, signal),
    files: await list(to),
  };
};

await mkdir(repository);
await git('init', '--quiet', '--initial-branch=main');
await writeFile(join(repository, 'one.php'), '1');
await git('add', '.');
await git('commit', '--quiet', '-m', 'The first');
await git('tag', 'v1');
await writeFile(join(repository, 'two.php'), '2');
await git('add', '.');
await git('commit', '--quiet', '-m', 'The second');
await writeFile(join(repository, 'not-committed.php'), '3');

void test('of a repository the commit of a ref comes, not what lies about', async () => {
  const { origin, files } = await fetch(repository);
  assert.deepEqual(files, ['one.php', 'two.php']);
  assert.deepEqual(origin, {
    source: repository,
    ref: null,
    commit: await git('rev-parse', 'HEAD'),
    subject: 'The second',
  });
  assert.deepEqual((await fetch(repository, 'v1')).files, ['one.php']);
  assert.equal((await fetch(repository, await git('rev-parse', 'v1'))).origin.subject, 'The first');
});

void test('of a plain folder everything comes, and equal files have equal checksums', async () => {
  const plain = join(folder, 'plain');
  await mkdir(plain);
  await writeFile(join(plain, 'a.php'), 'a');
  const first = await fetch(plain);
  assert.deepEqual(first.files, ['./a.php']);
  await writeFile(join(plain, 'a.php'), 'a');
  assert.equal((await fetch(plain)).origin.commit, first.origin.commit);
  await writeFile(join(plain, 'a.php'), 'b');
  assert.notEqual((await fetch(plain)).origin.commit, first.origin.commit);
});

void test('what is no source, or has no such ref, is refused with the reason', async () => {
  await assert.rejects(fetch('relative/path'), { code: 'image.bad-code' });
  await assert.rejects(fetch(join(folder, 'nothing')), { code: 'image.bad-code' });
  await assert.rejects(fetch(join(folder, 'plain'), 'main'), { code: 'image.bad-code' });
  await assert.rejects(fetch(repository, 'no-such-branch'), { code: 'image.bad-code' });
  await assert.rejects(fetch('ext::sh -c touch% /tmp/owned'), { code: 'image.bad-code' });
});

void test("the code is laid over the app's without the paths that are Espalier's", async () => {
  const [root, tree, tar] = [join(folder, 'root'), join(folder, 'tree'), join(folder, 'tree.tar')];
  await mkdir(join(root, 'lib'), { recursive: true });
  await mkdir(join(tree, 'lib'), { recursive: true });
  for (const path of ['config.php', 'lib/config.php']) await writeFile(join(tree, path), 'theirs');
  await writeFile(join(root, 'config.php'), 'ours');
  await runCommand(['tar', '-C', tree, '-cf', tar, '.'], { timeoutMs: 30_000 });
  const argv = renderOverlay({ root, keep: ['config.php'] }).map((word) => (word === '-' ? tar : word));
  assert.equal((await runCommand(argv, { timeoutMs: 30_000 })).code, 0);
  const read = async (path: string) =>
    (await runCommand(['cat', join(root, path)], { timeoutMs: 5_000 })).stdout.toString();
  assert.deepEqual([await read('config.php'), await read('lib/config.php')], ['ours', 'theirs']);
});

void test('an address with a password or a token in it is refused, and the answer does not repeat it', async () => {
  for (const source of ['https://anna:s3cret@example.org/code.git', 'https://s3cret@example.org/code.git']) {
    await assert.rejects(fetch(source), (thrown: Error) => {
      assert.match(thrown.message, /https:\/\/example\.org\/code\.git.*deploy key/s);
      assert.doesNotMatch(thrown.message, /s3cret/);
      return true;
    });
  }
});
