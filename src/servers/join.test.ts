import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { makeSimulatedFleet } from '../engines/simulated/fleet.ts';
import { makeSystemClock } from '../lib/clock.ts';
import { PROTOCOL_VERSION } from '../lib/version.ts';
import { fingerprintOf, makeKeyPair } from '../platform/certificates.ts';
import { makeEvents } from '../platform/events.ts';
import { openSecrets } from '../platform/secrets.ts';
import type { Store } from '../platform/store.ts';
import { withStores } from '../platform/test-store.ts';
import { certifyServer } from './authority.ts';
import { readCertified, revokeCertificates, storeCluster } from './cluster-store.ts';
import { admitServer, type JoinParts, type JoinRequest, makeJoinToken } from './join.ts';
import { readServer, storeServer } from './store.ts';

const NOW = Date.UTC(2026, 10, 21);
const MINUTE_MS = 60_000;

const scratch = mkdtempSync(join(tmpdir(), 'espalier-join-'));
after(() => rmSync(scratch, { recursive: true }));

async function makeParts(store: Store): Promise<JoinParts> {
  const clock = makeSystemClock();
  const place = { project: 'try', network: 'try0', storagePool: 'try' };
  return {
    ...{ deployment: 'try', version: '1.0.0', store, nowMs: () => NOW },
    secrets: await openSecrets({ store, keyFile: join(scratch, 'secret.key') }),
    events: makeEvents({ store, clock }),
    fleet: makeSimulatedFleet({ place, clock }),
    readLeadingServer: async () => undefined,
  };
}

const cluster = { server: 's1', address: '10.0.0.1', port: 7443, contentPath: '/srv/x', contentId: 'mark' };

/** A machine that comes with the token's text. */
function requestOf(token: string, more: Partial<JoinRequest> = {}): JoinRequest {
  const [, , secret = ''] = JSON.parse(Buffer.from(token.slice(4), 'base64url').toString()) as string[];
  return {
    ...{ secret, name: 's2', address: '10.0.0.2', publicKey: makeKeyPair().publicKey },
    ...{ version: '1.0.0', protocol: PROTOCOL_VERSION, clockMs: NOW + 900, ...more },
  };
}

withStores((test) => {
  test('a token lets one machine in, which gets a certificate and counts as joining', async ({ store }) => {
    const parts = await makeParts(store);
    await storeCluster(store, cluster);
    const { token } = await makeJoinToken(parts, { by: 'root', expiresInMs: MINUTE_MS });
    const request = requestOf(token);
    const answer = await admitServer(parts, request);
    assert.deepEqual([answer.server, answer.deployment, answer.content?.id], ['s2', 'try', 'mark']);
    const certificate = new X509Certificate(answer.certificate);
    assert.equal(certificate.subject, 'CN=s2');
    assert.ok(certificate.verify(new X509Certificate(answer.authority).publicKey));
    assert.equal((await readServer(store, 's2'))?.state, 'joining');
    assert.equal(await readCertified(store, fingerprintOf(request.publicKey)), 's2');
  });

  test('neither the secret of a token nor the key of the authority stands in the store', async ({ store }) => {
    const parts = await makeParts(store);
    await storeCluster(store, cluster);
    const { token } = await makeJoinToken(parts, { by: 'root', expiresInMs: MINUTE_MS });
    const rows = await store.query('SELECT * FROM join_token');
    assert.ok(!JSON.stringify(rows).includes(requestOf(token).secret));
    const secrets = await store.query<{ ciphertext: Uint8Array }>('SELECT ciphertext FROM secret');
    assert.ok(secrets.length > 0);
    for (const { ciphertext } of secrets) assert.ok(!Buffer.from(ciphertext).includes('PRIVATE KEY'));
  });

  test('while another server has the controller that leads, machines join there', async ({ store }) => {
    const parts: JoinParts = { ...(await makeParts(store)), readLeadingServer: async () => 's2' };
    await storeCluster(store, cluster);
    await storeServer(store, { name: 's2', state: 'ready', reason: '', address: '10.0.0.2', version: '' });
    const { token } = await makeJoinToken(parts, { by: 'root', expiresInMs: MINUTE_MS });
    const [door] = JSON.parse(Buffer.from(token.slice(4), 'base64url').toString()) as string[];
    assert.equal(door, '10.0.0.2:7443');
  });

  test('the same machine may ask again, another one may not, and nobody after the end', async ({ store }) => {
    const parts = await makeParts(store);
    await storeCluster(store, cluster);
    const { token } = await makeJoinToken(parts, { by: 'root', expiresInMs: MINUTE_MS });
    const request = requestOf(token);
    await admitServer(parts, request);
    assert.equal((await admitServer(parts, request)).server, 's2');
    await assert.rejects(admitServer(parts, requestOf(token, { name: 's3' })), { code: 'server.join-token-used' });
    assert.equal(await readServer(store, 's3'), undefined);
    await store.query(`UPDATE join_token SET expires_at = now() - interval '1 second'`);
    await assert.rejects(admitServer(parts, request), { code: 'server.join-token-expired' });
    await assert.rejects(admitServer(parts, { ...request, secret: 'x'.repeat(32) }), {
      code: 'server.join-token-unknown',
    });
  });

  test('two machines that come with one token at the same time: one is let in', async ({ store }) => {
    const parts = await makeParts(store);
    await storeCluster(store, cluster);
    const { token } = await makeJoinToken(parts, { by: 'root', expiresInMs: MINUTE_MS });
    const both = [requestOf(token, { name: 's2' }), requestOf(token, { name: 's3' })];
    const outcomes = await Promise.allSettled(both.map((request) => admitServer(parts, request)));
    assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  });

  test('a machine that does not fit is told why, and its token is still good', async ({ store }) => {
    const parts = await makeParts(store);
    await storeCluster(store, cluster);
    const { token } = await makeJoinToken(parts, { by: 'root', expiresInMs: MINUTE_MS });
    const request = requestOf(token);
    const off = { code: 'server.clock-off', message: /s2 is 300 s behind the controller's/ };
    await assert.rejects(admitServer(parts, { ...request, clockMs: NOW - 5 * MINUTE_MS }), off);
    const old = { code: 'server.join-other-version', message: /s2 has 0\.9\.0 .* the controller 1\.0\.0/ };
    await assert.rejects(admitServer(parts, { ...request, version: '0.9.0' }), old);
    await assert.rejects(admitServer(parts, { ...request, protocol: 0 }), { code: 'server.join-other-version' });
    await assert.rejects(admitServer(parts, { ...request, publicKey: 'none' }), { code: 'common.invalid-input' });
    await store.query(
      `INSERT INTO server (name, state, reason, address, version) VALUES ('s2', 'ready', '', '10.0.0.9', '1.0.0')`,
    );
    await assert.rejects(admitServer(parts, request), { code: 'server.name-taken' });
    await store.query('DELETE FROM server');
    assert.equal((await admitServer(parts, request)).server, 's2');
  });

  test('a renewed certificate counts beside the one before; none counts after the server is removed', async ({
    store,
  }) => {
    const parts = await makeParts(store);
    const [one, next] = [makeKeyPair(), makeKeyPair()];
    for (const { publicKey } of [one, next])
      await store.transaction((sql) => certifyServer(parts, sql, { server: 's2', publicKey }));
    const count = async () =>
      await Promise.all([one, next].map(({ publicKey }) => readCertified(store, fingerprintOf(publicKey))));
    assert.deepEqual(await count(), ['s2', 's2']);
    await revokeCertificates(store, 's2');
    assert.deepEqual(await count(), [undefined, undefined]);
  });

  test('without a cluster there is nothing to join', async ({ store }) => {
    const parts = await makeParts(store);
    const wish = { by: 'root', expiresInMs: MINUTE_MS };
    await assert.rejects(makeJoinToken(parts, wish), { code: 'server.cluster-not-made' });
  });
});
