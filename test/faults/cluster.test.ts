// Making a cluster and taking a server out of it, under faults. Afterwards both hold what they say.
import assert from 'node:assert/strict';
import { readCertified, readCluster } from '../../src/servers/cluster-store.ts';
import { readServer, storeServer } from '../../src/servers/store.ts';
import { assertConsistent } from './consistency.ts';
import { describeTrials } from './trials.ts';
import { tester, type World } from './world.ts';

const wish = { address: '192.0.2.1', port: 7443, contentPath: '/srv/shared' };

/** A server that was let in, with a certificate and addresses. */
async function letIn(world: World): Promise<string> {
  const { store } = world;
  await store.query(
    `INSERT INTO cluster (server, address, port) VALUES ('local', '192.0.2.1', 7443) ON CONFLICT (single) DO NOTHING`,
  );
  const server = { name: 's2', state: 'ready', reason: 'for the trial', address: '192.0.2.2', version: '' } as const;
  await storeServer(store, server);
  await store.query(
    `INSERT INTO server_certificate (fingerprint, server, expires_at) VALUES ('f', 's2', now() + interval '1 day')
     ON CONFLICT (fingerprint) DO UPDATE SET revoked_at = NULL`,
  );
  await store.query(`INSERT INTO address_block (first, server) VALUES ('10.201.0.128', 's2') ON CONFLICT DO NOTHING`);
  return server.name;
}

describeTrials('clusters under faults', {
  'the making of a cluster': {
    kind: 'cluster.make',
    async prepare(world) {
      const cluster = await readCluster(world.store);
      assert.ok(cluster === undefined || (cluster.contentPath === wish.contentPath && cluster.contentId !== null));
      await world.store.query('DELETE FROM cluster');
      return (sql, { platform }) => platform.operations.start(sql, 'cluster.make', wish, tester);
    },
    async check(world, { state }) {
      await assertConsistent(world);
      // Also without another hello of its agent.
      if (state === 'succeeded') assert.equal((await readServer(world.store, 'local'))?.address, wish.address);
    },
  },
  'the removal of a server': {
    kind: 'server.remove',
    async prepare(world) {
      // A removal that failed has either changed nothing, or what is left is not let in.
      const left = await readServer(world.store, 's2');
      const counts = (await readCertified(world.store, 'f')) !== undefined;
      assert.equal(counts, left?.state === 'ready');
      const name = await letIn(world);
      return (sql, { platform }) => platform.operations.start(sql, 'server.remove', { server: name }, tester);
    },
  },
});
