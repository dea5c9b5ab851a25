// What servers are told of the rooms above: addresses that others ask must be known before anybody asks there.
import assert from 'node:assert/strict';
import { insertEdge, storeEdgeAddress } from './edge/store.ts';
import { withStores } from './platform/test-store.ts';
import { readFacts } from './read-facts.ts';
import { allocateAddress } from './servers/addresses.ts';
import { insertService } from './services/store.ts';
import { carrierOf, sourceCarrierOf } from './sites/carriers.ts';

const CIDR = '10.87.16.1/20';

withStores((test) => {
  test('a database on its way to another server is known at both places, and so are carriers', async ({ store }) => {
    await insertService(store, 'database', { name: 'db1', maxSites: 10, memoryMb: 512 });
    const allocate = (instance: string, server: string) =>
      store.transaction((sql) => allocateAddress(sql, CIDR, { instance, server }));
    const here = await allocate('database-db1', 's1');
    assert.deepEqual((await readFacts(store)).databases, [here]);
    const there = await allocate('database-db1-m1', 's2');
    const carriers = [
      await allocate(carrierOf('sabcdefghi'), 's1'),
      await allocate(sourceCarrierOf('sabcdefghi'), 's2'),
    ];
    const facts = await readFacts(store);
    assert.deepEqual(facts.databases, [here, there]);
    assert.deepEqual(facts.carriers, carriers);
    assert.deepEqual(facts.caches, []);
  });

  test("visitors' ports are those of doors that others can reach, and of the shared address", async ({ store }) => {
    await insertEdge(store, { name: 'edge1', listen: '127.0.0.1:8080', reason: '' });
    assert.deepEqual((await readFacts(store)).visits, []);
    await insertEdge(store, { name: 'edge2', listen: '0.0.0.0:8081', reason: '' });
    await storeEdgeAddress(store, { address: '10.0.0.100', httpPort: 80, httpsPort: 443, routerId: 1 });
    assert.deepEqual((await readFacts(store)).visits, [8081, 80, 443]);
  });
});
