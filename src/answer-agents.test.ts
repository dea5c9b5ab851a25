// Heartbeats that come together: each is answered as if it had come alone, and each server's nodes are its own.
import assert from 'node:assert/strict';
import { type AnswerParts, makeAnswers } from './answer-agents.ts';
import { makeSystemClock } from './lib/clock.ts';
import { makeSilentLogger } from './lib/log.ts';
import { makeEvents } from './platform/events.ts';
import type { Store } from './platform/store.ts';
import { withStores } from './platform/test-store.ts';
import { readNode } from './pools/store.ts';
import { listServers, storeServer, storeServerState } from './servers/store.ts';

const load = {
  ...{ cores: 1, load1: 0, cpuPressure: 0, memoryPressure: 0, ioPressure: 0 },
  ...{ memoryTotalBytes: 1, memoryAvailableBytes: 1, diskTotalBytes: 1, diskFreeBytes: 1, clockMs: 0 },
};
const soon = () => AbortSignal.timeout(5_000);
const report = (name: string, healthy: boolean, sinceMs = 5_000) => ({ name, healthy, sinceMs, detail: 'no answer' });
type Reports = ReturnType<typeof report>[];

/** Three servers with a node each, `nN` on `sN`, and who answers their agents. */
async function makeTalk(store: Store) {
  const woken: string[] = [];
  const [clock, log] = [makeSystemClock(), makeSilentLogger()];
  const events = makeEvents({ store, clock });
  await store.query(
    `INSERT INTO pool (name, app, kind, image_number, wanted, max_sites, node_memory_mb, state)
     VALUES ('p', 'wordpress', 'shared', 1, 3, 10, 128, 'ready')`,
  );
  for (const name of ['s1', 's2', 's3']) {
    await storeServer(store, { name, state: 'ready', reason: '', address: '', version: '' });
    await store.query(
      `INSERT INTO node (name, pool, image_number, state, at_edge, reason, server)
       VALUES ($1, 'p', 1, 'ready', true, '', $2)`,
      [`n${name.slice(1)}`, name],
    );
  }
  const parts = {
    ...{ store, events, log, mayNodesRest: () => false },
    sequencer: { heartbeat: async () => ({ lost: [], leaseMs: 1_000 }) },
    witnesses: { note: (server: string) => woken.push(server) },
    hearing: { answer: (work: () => Promise<unknown>) => work() },
    pools: { store, events, wakeHeal: () => woken.push('heal') },
    votes: { store, at: () => null },
    syncEdges: async () => ({ leaving: [] }),
  } as unknown as AnswerParts;
  const answers = makeAnswers(() => parts);
  const beat = async (server: string, nodes: Reports = [], loadOf = load) => {
    const slots = { total: 1, free: 1 };
    try {
      await answers.heartbeat(server, { load: loadOf, nodes, beat: server, slots, runs: [] } as never, soon());
      return 'heard';
    } catch (thrown) {
      return (thrown as { code?: string }).code ?? 'failed';
    }
  };
  const stateOf = async (node: string) => (await readNode(store, node))?.state;
  return { beat, stateOf, woken };
}

withStores((test) => {
  test('a fenced, an unknown and a lost server beat among well ones: each is answered as if it were alone', async ({
    store,
  }) => {
    const { beat, woken, stateOf } = await makeTalk(store);
    await storeServerState(store, 's2', 'fenced', 'it is gone');
    await storeServerState(store, 's3', 'lost', 'it was silent');
    await store.query('UPDATE server SET heartbeat_at = NULL');
    assert.deepEqual(await Promise.all([beat('s1'), beat('s2', [report('n2', false)]), beat('nobody'), beat('s3')]), [
      'heard',
      'server.being-fenced',
      'server.being-fenced',
      'heard',
    ]);
    const rows = await listServers(store);
    assert.deepEqual(
      rows.map(({ name, state, silentMs }) => [name, state, silentMs !== undefined]),
      [
        ['s1', 'ready', true],
        ['s2', 'fenced', false],
        ['s3', 'lost', true],
      ],
    );
    assert.deepEqual(woken, ['s1', 's3'], 'nor does anybody listen to what a fenced one tells');
    assert.equal(await stateOf('n2'), 'ready');
  });

  test('a heartbeat that cannot be stored spoils none of those that came with it', async ({ store }) => {
    const { beat, stateOf } = await makeTalk(store);
    const answers = await Promise.all([
      beat('s1'),
      beat('s2', [report('n\u0000', false)]),
      beat('s3', [report('n3', false)]),
    ]);
    assert.equal(answers[0], 'heard');
    assert.notEqual(answers[1], 'heard');
    assert.equal(answers[2], 'heard');
    assert.equal(await stateOf('n3'), 'unhealthy');
  });

  test("of several servers' nodes each dies and comes back by what its own server tells, whatever others tell of it", async ({
    store,
  }) => {
    const { beat, stateOf, woken } = await makeTalk(store);
    const states = async () => await Promise.all(['n1', 'n2', 'n3'].map(stateOf));
    await Promise.all([
      beat('s1', [report('n1', false), report('n3', false)]),
      beat('s2', [report('n2', false, 1_000)]),
      beat('s3', [report('n3', true)]),
    ]);
    assert.deepEqual(await states(), ['unhealthy', 'ready', 'ready']);
    assert.ok(woken.includes('heal'));
    await Promise.all([beat('s1', [report('n1', true)]), beat('s2', [report('n2', false)]), beat('s3')]);
    assert.deepEqual(await states(), ['ready', 'unhealthy', 'ready']);
  });

  test('of two heartbeats of one server the later one counts', async ({ store }) => {
    const { beat, stateOf } = await makeTalk(store);
    await Promise.all([
      beat('s1', [report('n1', false)], { ...load, cores: 2 }),
      beat('s2'),
      beat('s1', [report('n1', true)], { ...load, cores: 4 }),
    ]);
    assert.equal(await stateOf('n1'), 'ready');
    const [server] = await listServers(store);
    assert.equal(server?.load?.cores, 4);
  });
});
