// What an edge document may not be, whatever wrote it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EdgeDocument, edgeDocument } from './edge-document.ts';

const sound: EdgeDocument = {
  version: 7,
  trustedProxies: ['10.0.0.0/8', 'fd00::/8'],
  pools: [
    { name: 'wordpress', servers: [{ name: 'wordpress-ab12', address: '10.1.2.3', port: 80, drain: false }] },
    { name: 'empty', servers: [] },
  ],
  hosts: [
    {
      host: 'acme.example',
      site: 'sabc123def',
      pool: 'wordpress',
      state: 'ready',
      requestsPerS: 50,
      connections: 0,
    },
  ],
};
const [pool, empty] = sound.pools;
const [host] = sound.hosts;

void test('a sound document is taken as it is', () => assert.deepEqual(edgeDocument.parse(sound), sound));

for (const [what, broken, why] of [
  ['a pool listed twice', { pools: [pool, pool, empty] }, /the pool wordpress is listed twice/],
  ['a host listed twice', { hosts: [host, host] }, /the host acme.example is listed twice/],
  ['a host of a pool that is not listed', { pools: [empty] }, /on the pool wordpress, which is not listed/],
  [
    'a server listed twice',
    { pools: [{ ...pool, servers: [...(pool?.servers ?? []), ...(pool?.servers ?? [])] }] },
    /the server wordpress-ab12 is listed twice in the pool wordpress/,
  ],
  ['a host with a line break', { hosts: [{ ...host, host: 'a.example\nb.example' }] }, /hosts/],
  ['a host in capitals', { hosts: [{ ...host, host: 'Acme.example' }] }, /hosts/],
  ['a site that is no site', { hosts: [{ ...host, site: '../../etc' }] }, /site/],
  ['a pool with a space', { pools: [{ name: 'word press', servers: [] }], hosts: [] }, /name/],
  ['an address that is none', { pools: [{ ...pool, servers: [{ ...pool?.servers[0], address: 'x' }] }] }, /address/],
  ['a negative limit', { hosts: [{ ...host, requestsPerS: -1 }] }, /requestsPerS/],
  ['what nobody knows', { pages: [] }, /pages/],
] as const) {
  void test(`${what} is refused`, () => {
    const { error } = edgeDocument.safeParse({ ...sound, ...broken });
    assert.match(error?.message ?? '', why);
  });
}
