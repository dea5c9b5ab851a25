import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffContents, hashFiles, packFiles, parsePackages, unpackFiles } from './contents.ts';

void test('packed files come back as they were, and the order in which they were listed changes no hash', async () => {
  const plain = new Map([
    ['/x', '644 0:0 1'],
    ['/a', '644 0:0 2'],
  ]);
  assert.deepEqual([...(await unpackFiles(await packFiles(plain)))].sort(), [...plain].sort());
  assert.equal(hashFiles(new Map([...plain].reverse())), hashFiles(plain));
  assert.notEqual(hashFiles(new Map([['/x', '644 0:0 1']])), hashFiles(plain));
});

void test('a difference names what came, went and changed', () => {
  const from = {
    packages: parsePackages('php\t8.4.1\nvim\t9\n'),
    files: new Map([
      ['/a', '1'],
      ['/b', '1'],
    ]),
  };
  const to = {
    packages: parsePackages('php\t8.4.2\nnano\t8\n'),
    files: new Map([
      ['/b', '2'],
      ['/c', '1'],
    ]),
  };
  assert.deepEqual(diffContents(from, to), {
    packages: { added: { nano: '8' }, removed: { vim: '9' }, changed: { php: { from: '8.4.1', to: '8.4.2' } } },
    files: { added: ['/c'], removed: ['/a'], changed: ['/b'] },
  });
  assert.deepEqual(diffContents(from, from), {
    packages: { added: {}, removed: {}, changed: {} },
    files: { added: [], removed: [], changed: [] },
  });
});
