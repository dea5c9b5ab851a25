import assert from 'node:assert/strict';
import { makeSystemClock } from '../lib/clock.ts';
import { makeEvents } from '../platform/events.ts';
import { withStores } from '../platform/test-store.ts';
import { readServer } from './store.ts';
import { watchServers } from './watch.ts';

withStores((test) => {
  test('a server is lost when its agent is silent, and back when it is heard again, without a hello', async ({
    store,
  }) => {
    const events = makeEvents({ store, clock: makeSystemClock() });
    await store.query(
      `INSERT INTO server (name, state, reason, address, version, heartbeat_at) VALUES
         ('s1', 'ready', '', '', '', now()), ('s2', 'fenced', '', '', '', now())`,
    );
    const silentFor = (seconds: number) =>
      store.query(`UPDATE server SET heartbeat_at = now() - make_interval(secs => $1) WHERE name = 's1'`, [seconds]);
    const look = async () => {
      await watchServers(store, events);
      const [one, other] = [await readServer(store, 's1'), await readServer(store, 's2')];
      assert.equal(other?.state, 'fenced', 'only a person brings that one back');
      return [one?.state, one?.reason];
    };
    await silentFor(9);
    assert.deepEqual(await look(), ['ready', '']);
    await silentFor(11);
    assert.deepEqual(await look(), ['lost', 'no heartbeat for 11 s']);
    assert.deepEqual(await look(), ['lost', 'no heartbeat for 11 s']);
    await silentFor(0);
    assert.deepEqual(await look(), ['ready', 'its agent is heard again']);
    const told = await store.query<{ kind: string }>('SELECT kind FROM event ORDER BY id');
    assert.deepEqual(
      told.map(({ kind }) => kind),
      ['server.lost', 'server.ready'],
    );
  });
});
