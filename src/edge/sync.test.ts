// Which edges are told, and when an agent that is away may be passed over.
import assert from 'node:assert/strict';
import { commonProblems } from '../lib/errors.ts';
import { type StoreCase, withStores } from '../platform/test-store.ts';
import type { AgentPort } from '../protocol/agent-port.ts';
import { protocolProblems } from '../protocol/problems.ts';
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
  return { sync: makeEdgeSync(store, agents), called };
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

  test('an agent that is away is passed over when another edge was told', async (given) => {
    const { sync } = await makeTrial(given, ['a', 'b'], async (server) => {
      if (server === 'a') throw away(server);
      return { version: 1, leaving: [] };
    });
    assert.deepEqual(await sync(soon()), { leaving: [] });
  });

  test('when no edge could be told it is waited for', async (given) => {
    const { sync } = await makeTrial(given, ['a', 'b'], (server) => Promise.reject(away(server)));
    await assert.rejects(sync(soon()), { code: 'protocol.disconnected', retryable: true });
  });

  test('an edge on a fenced server is not asked, and its silence holds nobody up', async (given) => {
    await given.store.query(
      `INSERT INTO server (name, state, reason, address, version) VALUES ('a', 'fenced', '', '', ''), ('b', 'lost', '', '', '')`,
    );
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
