// Which deployment a command talks to.
import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Problem } from '../lib/errors.ts';
import { contextPathOf, makeContext, readContextFile, writeContextFile } from './context.ts';

const isCode = (code: string, words: RegExp) => (thrown: unknown) =>
  thrown instanceof Problem && thrown.code === code && words.test(thrown.message);

void test('flags win over the environment, that over the file, and that over the defaults', () => {
  assert.deepEqual(makeContext({}, {}, {}, 0), { deployment: 'espalier', dataDir: '/var/lib/espalier' });
  assert.equal(makeContext({ deployment: 'blue' }, {}, {}, 0).dataDir, '/var/lib/espalier-blue');
  assert.equal(makeContext({}, { HOME: '/home/anna' }, {}, 1000).dataDir, '/home/anna/.local/share/espalier');
  const file = { url: 'https://file', token: 'f' };
  const env = { ESPALIER_URL: 'https://env', ESPALIER_TOKEN: '' };
  assert.deepEqual(makeContext({ deployment: 'x' }, env, file, 0), {
    ...{ deployment: 'x', dataDir: '/var/lib/espalier-x', url: 'https://env', token: 'f' },
  });
  assert.throws(() => makeContext({ deployment: '../etc' }, {}, {}, 0), isCode('cli.usage', /no name/));
});

void test('the context file is written for its owner alone, and one with a token that others may read is refused', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'espalier-context-'));
  t.after(() => rm(dir, { recursive: true }));
  const path = contextPathOf({ XDG_CONFIG_HOME: dir });
  assert.equal(path, join(dir, 'espalier/context.json'));
  assert.deepEqual(await readContextFile(path), {});
  await writeContextFile(path, { url: 'https://a', token: 't' });
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readContextFile(path), { url: 'https://a', token: 't' });
  await chmod(path, 0o644);
  await assert.rejects(readContextFile(path), isCode('cli.bad-context', /chmod 600/));
  for (const [text, words] of [
    ['{', /not JSON/],
    ['{"uri": "x"}', /"uri"/],
    ['{"url": 1}', /no text/],
  ] as const) {
    await writeFile(path, text);
    await assert.rejects(readContextFile(path), isCode('cli.bad-context', words));
  }
});
