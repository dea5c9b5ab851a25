// What servers with edges are told of the address that they share, and how the holder is kept.
import assert from 'node:assert/strict';
import { makeSystemClock } from '../lib/clock.ts';
import { makeEvents } from '../platform/events.ts';
import type { Store } from '../platform/store.ts';
import { withStores } from '../platform/test-store.ts';
import { storeServer, storeServerState } from '../servers/store.ts';
import { noteHolder, readSharedAddress } from './address.ts';
import { insertEdge, listEdges, storeEdgeAddress, storeEdgePlace, storeEdgeState, storeYields } from './store.ts';

const shared = { address: '10.0.0.100', httpPort: 80, httpsPort: 443, routerId: 101 };

async function makeEdges(store: Store, ...servers: string[]): Promise<void> {
  for (const [at, server] of servers.entries()) {
    const name = `edge${at + 1}`;
    await storeServer(store, { name: server, state: 'ready', reason: '', address: `10.0.0.${at + 11}`, version: '' });
    await insertEdge(store, { name, listen: '127.0.0.1:8080', reason: 'test' });
    await storeEdgePlace(store, name, { server, address: `10.87.0.${at + 2}`, placement: 'test' });
  }
}

withStores((test) => {
  test('each server with an edge learns of the others, and of its own edge to ask', async ({ store }) => {
    await makeEdges(store, 's1', 's2', 's3');
    assert.equal(await readSharedAddress(store, 's1'), undefined);
    await storeEdgeAddress(store, shared);
    assert.deepEqual(await readSharedAddress(store, 's1'), {
      ...{ address: '10.0.0.100', routerId: 101, edge: '10.87.0.2', own: '10.0.0.11' },
      ...{ peers: ['10.0.0.12', '10.0.0.13'], priority: 200 },
    });
    assert.deepEqual(await readSharedAddress(store, 's2'), {
      ...{ address: '10.0.0.100', routerId: 101, edge: '10.87.0.3', own: '10.0.0.12' },
      ...{ peers: ['10.0.0.11', '10.0.0.13'], priority: 199 },
    });
    assert.equal(await readSharedAddress(store, 's9'), undefined);
  });

  test('an edge that is deleted stands by no longer, and is no peer', async ({ store }) => {
    await makeEdges(store, 's1', 's2');
    await storeEdgeAddress(store, shared);
    await storeEdgeState(store, 'edge2', 'deleting', 'test');
    assert.deepEqual((await readSharedAddress(store, 's1'))?.peers, []);
    assert.equal(await readSharedAddress(store, 's2'), undefined);
  });

  test('an edge that yields stands by no longer while another one can have the address', async ({ store }) => {
    await makeEdges(store, 's1', 's2');
    await storeEdgeAddress(store, shared);
    await storeYields(store, 's1', true);
    assert.equal((await readSharedAddress(store, 's1'))?.address, '10.0.0.100', 'the other is not ready yet');
    await storeEdgeState(store, 'edge2', 'ready', 'test');
    assert.equal(await readSharedAddress(store, 's1'), undefined);
    await storeServerState(store, 's2', 'lost', 'test');
    assert.equal((await readSharedAddress(store, 's1'))?.address, '10.0.0.100');
  });

  test('who holds it is kept with the reason, once for each change', async ({ store }) => {
    await makeEdges(store, 's1', 's2');
    await storeEdgeAddress(store, shared);
    const events = makeEvents({ store, clock: makeSystemClock() });
    const note = (server: string, ...addresses: string[]) => noteHolder({ store, events }, server, addresses);
    const holders = async () => (await listEdges(store)).filter(({ holds }) => holds).map(({ name }) => name);
    await note('s1', '10.0.0.11', '10.0.0.100');
    await note('s1', '10.0.0.11', '10.0.0.100');
    await note('s2', '10.0.0.12');
    assert.deepEqual(await holders(), ['edge1']);
    await note('s2', '10.0.0.12', '10.0.0.100');
    await note('s1', '10.0.0.11');
    assert.deepEqual(await holders(), ['edge2']);
    const { items } = await events.list();
    assert.deepEqual(
      items.map(({ kind, subject, reason }) => `${kind} ${subject}: ${reason}`),
      [
        'edge.holds-no-more edge:edge1: s1 does not have 10.0.0.100 any more',
        'edge.holds edge:edge2: s2 has 10.0.0.100: visitors come here',
        'edge.holds edge:edge1: s1 has 10.0.0.100: visitors come here',
      ],
    );
    await storeEdgeAddress(store, undefined);
    await note('s2', '10.0.0.12');
    assert.deepEqual(await holders(), []);
  });
});
