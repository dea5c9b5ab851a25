import assert from 'node:assert/strict';
import { withStores } from '../platform/test-store.ts';
import { allocateAddress } from './addresses.ts';
import { storeCluster } from './cluster-store.ts';
import { listServers } from './store.ts';
import { makeNetworkTeller, readControllerHosts, readTunnels } from './tunnel.ts';

const CIDR = '10.87.16.1/20';
const network = { cidr: CIDR, bridge: 'try0' };
const cluster = { server: 's1', address: '192.0.2.1', port: 7443, contentPath: null, contentId: null };

withStores((test) => {
  test('each server learns the addresses and blocks of the others, but not of a fenced one', async ({ store }) => {
    await store.query(
      `INSERT INTO server (name, state, reason, address, version) VALUES
         ('s1', 'ready', '', '192.0.2.1', ''), ('s2', 'lost', '', '192.0.2.2', ''), ('s3', 'fenced', '', '192.0.2.3', '')`,
    );
    const read = (server: string) =>
      store.transaction(async (sql) => (await readTunnels(sql, network, await listServers(sql)))(server));
    assert.equal(await read('s1'), undefined, 'one server alone needs none');
    await storeCluster(store, cluster);
    assert.deepEqual((await read('s1'))?.peers, [
      { server: 's2', address: '192.0.2.2', inner: '10.87.16.64', networks: ['10.87.16.64/26'] },
    ]);
    await store.transaction((sql) => allocateAddress(sql, CIDR, { instance: 'a', server: 's1' }));
    const second = await read('s2');
    assert.deepEqual([second?.inner, second?.peers[0]?.networks], ['10.87.16.64', ['10.87.16.0/26']]);
    assert.equal((await read('s1'))?.id, second?.id);
    assert.equal(await read('s3'), undefined);
  });

  test('a database believes controllers from its own bridge, or from the tunnel on other servers', async ({
    store,
  }) => {
    const read = (server: string, ...controllers: string[]) =>
      store.transaction((sql) => readControllerHosts(sql, CIDR, server, controllers));
    assert.deepEqual(await read('s1', 's1'), ['10.87.16.1']);
    await storeCluster(store, cluster);
    assert.deepEqual(await read('s1', 's1'), ['10.87.16.1']);
    assert.deepEqual(await read('s2'), ['10.87.16.2']);
    assert.deepEqual(await read('s1', 's1', 's2'), ['10.87.16.1', '10.87.16.64']);
    assert.deepEqual(await read('s2', 's1', 's2'), ['10.87.16.2', '10.87.16.1']);
  });

  test('agents are told of a change once, and one that comes later too', async ({ store }) => {
    const [connected, told] = [['s1'], [] as string[]];
    const tell = makeNetworkTeller(store, {
      connected: () => [...connected],
      call: async (server) => {
        told.push(server);
        return null as never;
      },
    });
    const look = async () => {
      await tell(AbortSignal.timeout(1_000));
      return told.splice(0);
    };
    assert.deepEqual(await look(), ['s1']);
    assert.deepEqual(await look(), []);
    connected.push('s2');
    assert.deepEqual(await look(), ['s2']);
    await store.transaction((sql) => allocateAddress(sql, CIDR, { instance: 'a', server: 's2' }));
    assert.deepEqual((await look()).sort(), ['s1', 's2']);
  });
});
