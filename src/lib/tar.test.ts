import assert from 'node:assert/strict';
import { test } from 'node:test';
import { paddingAfter, parseTarHeader, renderTarHeader } from './tar.ts';

void test('a header says name and size as it was given them, also above 8 GiB', () => {
  for (const size of [0, 513, 8 ** 11 - 1, 8 ** 11, 2 ** 45]) {
    const block = renderTarHeader(Buffer.from('files.tar'), { size, type: '0', mode: 0o600 });
    assert.deepEqual(parseTarHeader(block), { name: 'files.tar', size, type: '0' });
  }
});

void test('what is no header, or one that was damaged, is told from one', () => {
  const block = renderTarHeader(Buffer.from('a'), { size: 1, type: '0' });
  block.writeUInt8(0x37, 130);
  assert.equal(parseTarHeader(block), undefined);
  assert.equal(parseTarHeader(Buffer.alloc(512)), undefined);
  assert.equal(parseTarHeader(Buffer.alloc(3)), undefined);
});

void test('contents end where a block ends', () => {
  assert.deepEqual(
    [0, 1, 511, 512, 513].map((bytes) => (bytes + paddingAfter(bytes).length) % 512),
    [0, 0, 0, 0, 0],
  );
});
