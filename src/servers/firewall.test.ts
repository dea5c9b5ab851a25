// What each server's agent is told of the firewall, and what the doctor makes of it.
import assert from 'node:assert/strict';
import { test as plainTest } from 'node:test';
import type { Store } from '../platform/store.ts';
import { withStores } from '../platform/test-store.ts';
import { allocateAddress } from './addresses.ts';
import { storeCluster } from './cluster-store.ts';
import { readFirewallChoice, readFirewalls, storeFirewallChoice } from './firewall.ts';
import { judgeFirewalls } from './firewall-check.ts';
import { listServers, storeServer } from './store.ts';
import { innerOf } from './tunnel.ts';

const network = { cidr: '10.87.16.1/20', bridge: 'try0' };
const facts = {
  ...{ databases: ['10.87.16.4'], caches: ['10.87.16.5'], carriers: [], visits: [80, 443], controllers: ['s1', 's2'] },
  edges: [
    { server: 's1', address: '10.87.16.3' },
    { server: 's3', address: '10.87.16.130' },
  ],
};

const readFirewallOf = async (store: Store, server: string) =>
  (await readFirewalls(store, network, await listServers(store), facts))(server);

withStores((test) => {
  test('a server is told who the members are, which ports it opens, and what containers may ask', async ({ store }) => {
    for (const [at, name] of ['s1', 's2', 's3'].entries())
      await storeServer(store, { name, state: 'ready', reason: '', address: `10.0.0.${at + 11}`, version: '' });
    const read = (server: string) => readFirewallOf(store, server);
    assert.equal(await read('s1'), undefined, 'one server alone');
    await storeCluster(store, { server: 's1', address: '10.0.0.11', port: 7443, contentPath: null, contentId: null });
    await store.transaction((sql) => allocateAddress(sql, network.cidr, { instance: innerOf('s1'), server: 's1' }));
    const first = await read('s1');
    assert.deepEqual(first, {
      ...{ mode: 'ours', bridge: 'try0', network: '10.87.16.0/20', members: ['10.0.0.11', '10.0.0.12', '10.0.0.13'] },
      ...{ routers: ['10.0.0.11', '10.0.0.13'], doors: [7443], visits: [80, 443], inners: ['10.87.16.2'] },
      ...{ databases: ['10.87.16.4'], caches: ['10.87.16.5'], carriers: [] },
      ...{ edges: ['10.87.16.130', '10.87.16.3'], allow: [] },
    });
    const second = await read('s2');
    assert.deepEqual([second?.doors, second?.visits], [[7443], []]);
    assert.deepEqual([(await read('s3'))?.doors, (await read('s3'))?.visits], [[], [80, 443]]);
  });

  test('a person chooses for each server; off means that nothing is told', async ({ store }) => {
    await storeServer(store, { name: 's1', state: 'ready', reason: '', address: '10.0.0.11', version: '' });
    await storeCluster(store, { server: 's1', address: '10.0.0.11', port: 7443, contentPath: null, contentId: null });
    assert.deepEqual(await readFirewallChoice(store, 's1'), { server: 's1', mode: 'ours', allow: [] });
    await storeFirewallChoice(store, { server: 's1', mode: 'strict', allow: ['tcp/9100'] });
    assert.deepEqual((await readFirewallOf(store, 's1'))?.allow, ['tcp/9100']);
    await storeFirewallChoice(store, { server: 's1', mode: 'off', allow: ['tcp/9100'] });
    assert.equal(await readFirewallOf(store, 's1'), undefined);
  });
});

void plainTest('the doctor says where the firewall is not as it was chosen', () => {
  const seen = { server: 's1', mode: 'ours', state: 'on', detail: 'ours' } as const;
  assert.deepEqual(judgeFirewalls([seen]), { status: 'ok', detail: 's1 ours' });
  assert.equal(judgeFirewalls([seen, { ...seen, server: 's2', mode: 'off', state: 'off' }]).status, 'warn');
  assert.equal(
    judgeFirewalls([{ ...seen, state: 'failed', detail: 'nft: no such program' }]).detail,
    'on s1 it should be ours and is failed: nft: no such program',
  );
});
