// Which edges are told, and when an agent that is away may be passed over.
import assert from 'node:assert/strict';
import { makeSystemClock } from '../lib/clock.ts';
import { commonProblems } from '../lib/errors.ts';
import { type StoreCase, withStores } from '../platform/test-store.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import { protocolProblems } from '../protocol/problems.ts';
import type { ServerState } from '../servers/store.ts';
import { insertEdge, storeEdgePlace } from './store.ts';
import { makeEdgeSync } from './sync.ts';

const away = (server: string) => protocolProblems.make('disconnected', { name: `agent on ${server}` });
const soon = () => AbortSignal.timeout(5_000);

/** Edges on these servers, and agents that answer so. */
async function makeTrial(
  { store }: StoreCase,
  servers: readonly (string | null)[],
  answer: (server: string) => Promise<{ version: number; leaving: string[] }>,
) {
  for (const [at, server] of servers.entries()) {
    const name = `edge${at}`;
    await insertEdge(store, { name, listen: `127.0.0.1:${8000 + at}`, reason: 'test' });
    if (server !== null) await storeEdgePlace(store, name, { server, address: `10.0.0.${at + 2}`, placement: 'test' });
  }
  const called: string[] = [];
  const agents: AgentPort = {
    connected: () => [],
    async call(server) {
      called.push(server);
      return (await answer(server)) as never;
    },
  };
  return { sync: makeEdgeSync({ store, agents, clock: makeSystemClock() }), called };
}

withStores((test) => {
  test('every server with an edge is told once, and what still leaves is gathered', async (given) => {
    const { sync, called } = await makeTrial(given, ['a', 'a', 'b', null], async (server) => ({
      version: 1,
      leaving: server === 'a' ? ['n1', 'n2'] : ['n2'],
    }));
    assert.deepEqual(await sync(soon()), { leaving: ['n1', 'n2'] });
    assert.deepEqual(called.sort(), ['a', 'b']);
  });

  test('without an edge there is nothing to do', async (given) => {
    const { sync } = await makeTrial(given, [null], () => Promise.reject(new Error('nobody is called')));
    assert.deepEqual(await sync(soon()), { leaving: [] });
  });

  const storeStates = (given: StoreCase, a: ServerState, b: ServerState) =>
    given.store.query(
      `INSERT INTO server (name, state, reason, address, version) VALUES ('a', $1, '', '', ''), ('b', $2, '', '', '')`,
      [a, b],
    );

  test('an agent that is away is waited for, and the others are told once', async (given) => {
    await storeStates(given, 'ready', 'ready');
    let looks = 0;
    const { sync, called } = await makeTrial(given, ['a', 'b'], async (server) => {
      if (server === 'a' && ++looks < 3) throw away(server);
      return { version: 1, leaving: [server] };
    });
    assert.deepEqual((await sync(soon())).leaving.toSorted(), ['a', 'b']);
    assert.deepEqual(called, ['a', 'b', 'a', 'a']);
  });

  test('one that is away is passed over when its server counts as lost and another edge was told', async (given) => {
    await storeStates(given, 'ready', 'ready');
    let looks = 0;
    const { sync } = await makeTrial(given, ['a', 'b'], async (server) => {
      if (server === 'b') return { version: 1, leaving: [] };
      if (++looks === 3) await given.store.query(`UPDATE server SET state = 'lost' WHERE name = 'a'`);
      throw away(server);
    });
    assert.deepEqual(await sync(soon()), { leaving: [] });
    assert.equal(looks, 4);
  });

  test('when no edge could be told it is waited for', async (given) => {
    const { sync } = await makeTrial(given, ['a', 'b'], (server) => Promise.reject(away(server)));
    await assert.rejects(sync(soon()), { code: 'protocol.disconnected', retryable: true });
  });

  test('an edge on a fenced server is not asked, and its silence holds nobody up', async (given) => {
    await storeStates(given, 'fenced', 'lost');
    const { sync, called } = await makeTrial(given, ['a', 'b'], async () => ({ version: 1, leaving: [] }));
    assert.deepEqual(await sync(soon()), { leaving: [] });
    assert.deepEqual(called, ['b']);
  });

  test('an edge that fails in another way is not passed over', async (given) => {
    const { sync } = await makeTrial(given, ['a', 'b'], async (server) => {
      if (server === 'a') throw commonProblems.make('internal', { what: 'HAProxy refused its file' });
      return { version: 1, leaving: [] };
    });
    await assert.rejects(sync(soon()), { message: /HAProxy refused its file/ });
  });
});
