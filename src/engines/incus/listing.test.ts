import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseListing, renderFind } from './listing.ts';

void test('what is skipped is not gone into', () => {
  const [sums] = renderFind('/', ['/proc', '/tmp']);
  const skipped = ['(', '-path', '/proc', '-o', '-path', '/tmp', ')', '-prune', '-o'];
  assert.deepEqual(sums, ['find', '/', '-xdev', ...skipped, '-type', 'f', '-exec', 'sha256sum', '{}', '+']);
  assert.deepEqual(renderFind('/etc', [])[1]?.slice(0, 5), ['find', '/etc', '-xdev', '-type', 'l']);
});

void test('files have their checksums, links their targets, both their owners, in the order of their paths', () => {
  const sum = 'a'.repeat(64);
  const listing = {
    sums: `${sum}  /etc/with space\n${sum}  /etc/gone\n`,
    links: `'/etc/link' -> '../a b'\n/etc/plain -> x\n`,
    attributes: '777 0 0 /etc/plain\n4755 1 2 /etc/with space\n777 0 0 /etc/link\n',
  };
  assert.deepEqual(parseListing(listing), [
    { path: '/etc/link', mode: 0o777, uid: 0, gid: 0, link: '../a b' },
    { path: '/etc/plain', mode: 0o777, uid: 0, gid: 0, link: 'x' },
    { path: '/etc/with space', mode: 0o4755, uid: 1, gid: 2, sha256: sum },
  ]);
});
