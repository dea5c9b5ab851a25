// Tokens for controllers: one server, once, in time; and no way to one where the state cannot be shared.
import assert from 'node:assert/strict';
import { makeSystemClock } from '../lib/clock.ts';
import { Problem } from '../lib/errors.ts';
import { makeEvents } from '../platform/events.ts';
import type { Secrets } from '../platform/secrets.ts';
import type { Store } from '../platform/store.ts';
import { withStores } from '../platform/test-store.ts';
import { storeCluster } from '../servers/cluster-store.ts';
import { storeServer } from '../servers/store.ts';
import { type ControllersParts, equipController, makeControllerToken } from './join.ts';
import { noteController } from './store.ts';

const URL_SHARED = 'postgresql://espalier:p@10.0.0.9:5432/espalier';

/** Secrets in the clear: what is tested here does not depend on their encryption. */
function makePlainSecrets(): Secrets {
  const kept = new Map<string, string>();
  return {
    put: async (_, name, value) => void kept.set(name, value),
    read: async (_, name) => kept.get(name) ?? '',
    readAll: async (_, prefix) => Object.fromEntries([...kept].filter(([name]) => name.startsWith(prefix))),
    remove: async (_, name) => void kept.delete(name),
    removeAll: async () => kept.clear(),
    rotate: async () => 0,
  };
}

async function makeParts(store: Store, databaseUrl: string | undefined = URL_SHARED): Promise<ControllersParts> {
  const clock = makeSystemClock();
  await storeCluster(store, { server: 's1', address: '10.0.0.1', port: 7443, contentPath: null, contentId: null });
  for (const name of ['s1', 's2', 's3'])
    await storeServer(store, { name, state: 'ready', reason: '', address: `10.0.0.${name.slice(1)}`, version: '' });
  return {
    ...{ store, secrets: makePlainSecrets(), events: makeEvents({ store, clock }), nowMs: () => clock.nowMs() },
    ...{ deployment: 'try', databaseUrl, id: 'c1', readKeys: async () => 'the keys' },
  };
}

const secretOf = (token: string): string =>
  (JSON.parse(Buffer.from(token.slice(4), 'base64url').toString()) as string[])[2] ?? '';
const code = (expected: string) => (thrown: unknown) => {
  assert.equal(thrown instanceof Problem && thrown.code, expected);
  return true;
};

withStores((test) => {
  test('a token is good for the controller of one server, once', async ({ store }) => {
    const parts = await makeParts(store);
    const { token } = await makeControllerToken(parts, { server: 's2', by: 'root' });
    assert.match(token, /^esc_/);
    const secret = secretOf(token);
    const refused = (asked: { server: string; secret: string }) =>
      assert.rejects(equipController(parts, asked), code('controller.token-unknown'));
    await refused({ server: 's3', secret });
    await refused({ server: 's2', secret: 'x'.repeat(32) });
    assert.deepEqual(await equipController(parts, { server: 's2', secret }), {
      ...{ deployment: 'try', databaseUrl: URL_SHARED, keys: 'the keys' },
    });
    await refused({ server: 's2', secret });
  });

  test('a token whose time is over gives nothing away', async ({ store }) => {
    const parts = await makeParts(store);
    const { token } = await makeControllerToken(parts, { server: 's2', by: 'root' });
    await store.query(`UPDATE controller_token SET expires_at = now() - interval '1 second'`);
    const asked = { server: 's2', secret: secretOf(token) };
    await assert.rejects(equipController(parts, asked), code('controller.token-unknown'));
  });

  test('no token where no other server could use the database, for no server, or for one that has a controller', async ({
    store,
  }) => {
    const ask = async (server: string, url: string | undefined) => {
      const parts = { ...(await makeParts(store)), databaseUrl: url };
      return await makeControllerToken(parts, { server, by: 'root' });
    };
    await assert.rejects(ask('s2', undefined), code('controller.needs-postgresql'));
    for (const url of [
      'postgresql://e@localhost/e',
      'postgresql://e@127.0.0.1/e',
      'postgresql:///e?host=/run/postgresql',
    ])
      await assert.rejects(ask('s2', url), code('controller.database-here-only'));
    await assert.rejects(ask('s9', URL_SHARED), code('controller.not-a-server'));
    await noteController(store, { id: 'c2', name: 's2', address: '10.0.0.2', port: 7443, version: '' });
    await assert.rejects(ask('s2', URL_SHARED), code('controller.there-already'));
  });
});
