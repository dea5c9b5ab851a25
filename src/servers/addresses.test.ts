import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { withStores } from '../platform/test-store.ts';
import {
  accountHostOf,
  allocateAddress,
  bridgeAddress,
  chooseCidr,
  listBlocks,
  networkOf,
  releaseAddresses,
} from './addresses.ts';

test('a bridge address tells its network, its own address and the account host of a database', () => {
  assert.equal(networkOf('10.87.16.1/20'), '10.87.16.0/20');
  assert.equal(bridgeAddress('10.87.16.1/20'), '10.87.16.1');
  assert.equal(accountHostOf('10.87.16.1/20'), '10.87.16.0/255.255.240.0');
});

test('two deployments of other names choose networks that do not overlap, whatever is taken', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 1, maxLength: 14 }),
      fc.string({ minLength: 1, maxLength: 14 }),
      (one, other) => {
        const first = chooseCidr(one, ['192.168.0.1/16']);
        const second = chooseCidr(other, ['192.168.0.1/16', first]);
        assert.notEqual(networkOf(first), networkOf(second));
        assert.match(first, /^10\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.\d+\.1\/20$/);
      },
    ),
  );
});

test('a network that the machine has in any size is passed over', () => {
  const free = chooseCidr('espalier', []);
  assert.notEqual(chooseCidr('espalier', [`${bridgeAddress(free)}/32`]), free);
  assert.throws(() => chooseCidr('espalier', ['10.0.0.1/8']), { code: 'server.no-address-left' });
});

withStores((it) => {
  it('every instance gets an address of its own, the same again, and gives it back', async ({ store }) => {
    const take = (name: string) =>
      store.transaction((sql) => allocateAddress(sql, '10.87.16.1/20', { instance: name, server: 's1' }));
    assert.equal(await take('a'), '10.87.16.2');
    assert.equal(await take('b'), '10.87.16.3');
    assert.equal(await take('a'), '10.87.16.2');
    await releaseAddresses(store, 'a');
    assert.equal(await take('c'), '10.87.16.2');
  });

  it('servers have blocks of their own, and a full block is followed by another', async ({ store }) => {
    const take = (server: string, name: string) =>
      store.transaction((sql) => allocateAddress(sql, '10.87.16.1/20', { instance: name, server }));
    assert.equal(await take('s1', 'a'), '10.87.16.2');
    assert.equal(await take('s2', 'b'), '10.87.16.64');
    assert.equal(await take('s1', 'c'), '10.87.16.3');
    for (let number = 0; number < 60; number += 1) await take('s1', `n${number}`);
    assert.equal(await take('s1', 'd'), '10.87.16.128');
    assert.deepEqual(await listBlocks(store), [
      { first: '10.87.16.0', server: 's1' },
      { first: '10.87.16.128', server: 's1' },
      { first: '10.87.16.64', server: 's2' },
    ]);
  });

  it('a network without a free address is said to be full', async ({ store }) => {
    const take = (name: string) =>
      store.transaction((sql) => allocateAddress(sql, '10.87.16.1/28', { instance: name, server: 's1' }));
    for (let number = 2; number <= 11; number += 1) await take(`n${number}`);
    await assert.rejects(take('one-more'), { code: 'server.no-address-left' });
  });

  it('instances that ask at the same time get different addresses', async ({ store }) => {
    const names = Array.from({ length: 8 }, (_, number) => `n${number}`);
    const given = await Promise.all(
      names.map((name) =>
        store.transaction((sql) => allocateAddress(sql, '10.87.16.1/20', { instance: name, server: 's1' })),
      ),
    );
    assert.equal(new Set(given).size, names.length);
  });
});
