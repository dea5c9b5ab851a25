// Which servers are lost, which of them are fenced, and which are only out of the controller's hearing.
import assert from 'node:assert/strict';
import { test as plainTest } from 'node:test';
import { makeSystemClock } from '../lib/clock.ts';
import { makeEvents } from '../platform/events.ts';
import type { Operation, Operations } from '../platform/operations/operation.ts';
import type { Store } from '../platform/store.ts';
import { withStores } from '../platform/test-store.ts';
import { readCluster, storeCluster } from './cluster-store.ts';
import { toWelcomed, welcomeAgent } from './meet-agents.ts';
import { readServer, type ServerRow, storeFenceUp, storeHeartbeats, storeServerState } from './store.ts';
import { judgeLost } from './verdict.ts';
import { type WatchParts, watchServers } from './watch.ts';
import type { Testimony } from './witnesses.ts';

const soon = () => AbortSignal.timeout(5_000);
const load = { cores: 1, load1: 0, cpuPressure: 0, memoryPressure: 0, ioPressure: 0, clockMs: 0 };
const sizes = { memoryTotalBytes: 1, memoryAvailableBytes: 1, diskTotalBytes: 1, diskFreeBytes: 1 };

/** A watch that notes which operations it begins. */
function makeWatch(store: Store, testimony: Record<string, Testimony> = {}, behindMs = 0) {
  const began: string[] = [];
  const clock = makeSystemClock();
  const operations = {
    list: async () => ({ items: [], nextPageToken: null }),
    async start(_: unknown, kind: string, { server }: { server: string }) {
      began.push(`${kind} ${server}`);
      return {} as Operation;
    },
  } as unknown as Operations;
  const parts: WatchParts = {
    ...{ store, operations, clock, events: makeEvents({ store, clock }) },
    witnesses: {
      note: () => undefined,
      refuse: () => undefined,
      ask: (server) => testimony[server] ?? { hear: [], deaf: [] },
    },
    hearing: { behindMs: () => behindMs },
    readLeadingServer: async (sql) => (await readCluster(sql))?.server,
    readOffline: async () => new Set(),
    noteReady: () => undefined,
  };
  return { began, look: () => watchServers(parts, soon()), parts };
}

async function addServers(store: Store, states: Record<string, string>): Promise<void> {
  for (const [name, state] of Object.entries(states))
    await store.query(
      `INSERT INTO server (name, state, reason, address, version, heartbeat_at, drain_reason)
       VALUES ($1, $2, '', '', '', now(), CASE WHEN $2 = 'draining' THEN 'a person wants it empty' END)`,
      [name, state],
    );
}
const silence = (store: Store, name: string, seconds: number) =>
  store.query('UPDATE server SET heartbeat_at = now() - make_interval(secs => $2) WHERE name = $1', [name, seconds]);

withStores((test) => {
  test('a server is lost when its agent is silent, and back when it is heard again, without a hello', async ({
    store,
  }) => {
    await addServers(store, { s1: 'ready', s2: 'draining' });
    const { look, began } = makeWatch(store);
    const stateOf = async (name: string) => (await readServer(store, name))?.state;
    await silence(store, 's1', 9);
    await look();
    assert.equal(await stateOf('s1'), 'ready');
    for (const name of ['s1', 's2']) await silence(store, name, 11);
    await look();
    await look();
    assert.deepEqual([await stateOf('s1'), await stateOf('s2')], ['lost', 'lost']);
    for (const name of ['s1', 's2']) await silence(store, name, 0);
    await look();
    assert.deepEqual([await stateOf('s1'), await stateOf('s2')], ['ready', 'draining'], 'each is what it was');
    const told = await store.query<{ kind: string; subject: string }>('SELECT kind, subject FROM event ORDER BY id');
    assert.deepEqual(
      told.map(({ kind, subject }) => `${kind} ${subject}`),
      ['server.lost server:s1', 'server.lost server:s2', 'server.ready server:s1', 'server.draining server:s2'],
    );
    assert.deepEqual(began, [], 'one server alone is never fenced');
  });

  test('a controller that is behind with heartbeats takes its own slowness for no silence, and says that it is behind', async ({
    store,
  }) => {
    await addServers(store, { s1: 'ready', s2: 'ready' });
    const { look } = makeWatch(store, {}, 4_000);
    await silence(store, 's1', 21);
    await silence(store, 's2', 23);
    assert.deepEqual(await look(), { ready: 1, lost: 1, behindMs: 4_000 });
    assert.equal((await readServer(store, 's1'))?.state, 'ready');
    await silence(store, 's2', 12);
    await look();
    assert.equal((await readServer(store, 's2'))?.state, 'lost', 'it is lost until it is heard');
  });

  test('a lost server is fenced when others do not hear it either, and left when one does', async ({ store }) => {
    await addServers(store, { s1: 'ready', s2: 'ready', s3: 'ready', s4: 'ready', s5: 'ready' });
    await storeCluster(store, { server: 's1', address: '', port: 1, contentPath: null, contentId: null });
    const testimony = { s2: { hear: [], deaf: ['s1', 's3'] }, s3: { hear: ['s4'], deaf: ['s1'] } };
    const { look, began } = makeWatch(store, testimony);
    for (const name of ['s2', 's3']) await silence(store, name, 11);
    await look();
    assert.deepEqual(began, ['server.fence s2']);
    const left = await readServer(store, 's3');
    assert.equal(left?.alive, true, 'its runs end by their leases');
    assert.match(left?.reason ?? '', /but s4 hears it: its nodes serve on/);
  });

  test('a server whose Incus answers nobody stays ready, and says that nothing is placed on it', async ({ store }) => {
    await addServers(store, { s1: 'ready', s2: 'ready' });
    const testimony: Record<string, Testimony> = { s2: { hear: [], deaf: ['s1'] } };
    const { look, began } = makeWatch(store, testimony);
    await look();
    await look();
    const silent = await readServer(store, 's2');
    assert.deepEqual([silent?.state, silent?.isEngineSilent], ['ready', true]);
    assert.match(silent?.reason ?? '', /its Incus does not answer s1: what runs there runs on/);
    testimony.s2 = { hear: ['s1'], deaf: [] };
    await look();
    const heard = await readServer(store, 's2');
    assert.deepEqual([heard?.isEngineSilent, heard?.reason], [false, 'its Incus answers again']);
    assert.deepEqual(began, []);
    const told = await store.query<{ kind: string }>('SELECT kind FROM event ORDER BY id');
    assert.deepEqual(
      told.map(({ kind }) => kind),
      ['server.engine-silent', 'server.engine-heard'],
    );
  });

  test('a fence that is not up is begun again, a server that is back is cleaned, and one silent again is fenced as before', async ({
    store,
  }) => {
    await addServers(store, { s1: 'fenced', s2: 'back', s3: 'fenced' });
    await storeFenceUp(store, 's3', ['the database server db1: its data lies there']);
    const { look, began } = makeWatch(store);
    await look();
    assert.deepEqual(began, ['server.fence s1', 'server.clean s2']);
    await silence(store, 's2', 11);
    await look();
    assert.equal((await readServer(store, 's2'))?.state, 'fenced');
  });

  test('a fenced server is not heard before its fence is up, and comes back to be cleaned, not to serve', async ({
    store,
  }) => {
    await addServers(store, { s1: 'ready' });
    const { parts } = makeWatch(store);
    const hello = { server: 's1', protocol: 2, version: '', address: '' };
    const isHeard = async () =>
      (await storeHeartbeats(store, [{ server: 's1', load: { ...load, ...sizes } }])).has('s1');
    await storeServerState(store, 's1', 'fenced', 'it is gone');
    assert.equal(await isHeard(), false, 'over its old connection');
    await assert.rejects(welcomeAgent(store, parts.events, hello), { code: 'server.being-fenced', retryable: true });
    await storeFenceUp(store, 's1', []);
    await welcomeAgent(store, parts.events, hello);
    assert.equal((await readServer(store, 's1'))?.state, 'back');
    assert.equal(await isHeard(), true);
  });
});

const row = (name: string, state: ServerRow['state'], silentMs = state === 'lost' ? 11_000 : 0): ServerRow => ({
  ...{ name, state, reason: '', address: '', version: '', domain: name, silentMs, clockAheadMs: 0, load: undefined },
  ...{ alive: false, isEngineSilent: false, isFenceUp: false, drainReason: null, left: [] },
});

plainTest('a controller that hears less than half of all servers fences none', () => {
  const testimony = { hear: [], deaf: ['s1'] };
  const judge = (...states: ServerRow['state'][]) => {
    const servers = states.map((state, index) => row(`s${index + 1}`, state));
    const lost = servers.find(({ state }) => state === 'lost');
    assert.ok(lost !== undefined);
    return judgeLost(lost, { servers, controller: 's1', testimony, isOffline: undefined, behindMs: 0 });
  };
  assert.equal(judge('ready', 'lost').gone, true, 'its own server is half of two');
  assert.equal(judge('ready', 'ready', 'lost').gone, true);
  const minority = judge('ready', 'lost', 'lost');
  assert.equal(minority.gone, false);
  assert.match(minority.reason, /2 of 3 servers are silent at once, so this one may be cut off/);
  assert.equal(judge('ready', 'lost', 'fenced').gone, true, 'those that are fenced already do not count');
  const falling = (silentMs: number, behindMs = 0) => {
    const servers = [row('s1', 'ready'), row('s2', 'lost'), row('s3', 'ready', silentMs)];
    const evidence = { servers, controller: 's1', testimony, isOffline: undefined, behindMs };
    return judgeLost(servers[1] ?? row('', 'lost'), evidence);
  };
  assert.equal(falling(9_000).gone, false, 'the next one is silent too, and not lost yet');
  assert.equal(falling(2_000).gone, true);
  assert.equal(falling(7_000, 3_000).gone, true, 'its heartbeat waits at the controller');
});

plainTest('the controller never fences its own server, nor one of which nobody else can tell', () => {
  const servers = [row('s1', 'lost'), row('s2', 'lost')];
  const [own, other] = [servers[0] ?? row('', 'lost'), servers[1] ?? row('', 'lost')];
  const evidence = { servers, controller: 's1', testimony: { hear: [], deaf: ['s2'] }, isOffline: true, behindMs: 0 };
  assert.equal(judgeLost(own, evidence).gone, false);
  const silent = { ...evidence, testimony: { hear: [], deaf: [] } };
  assert.equal(judgeLost(other, { ...silent, isOffline: undefined }).gone, false);
  assert.equal(judgeLost(other, { ...silent, isOffline: false }).gone, false);
  assert.equal(judgeLost(other, silent).gone, true, 'then the engine is asked');
});

plainTest('a server whose agent is of another version is not fenced, whoever does not hear it, and says why', () => {
  const servers = [row('s1', 'ready'), row('s2', 'lost'), row('s3', 'ready')];
  const refused = 'The agent on s2 speaks protocol 1, the controller 2.';
  const testimony = { hear: [], deaf: ['s1', 's3'], refused };
  const evidence = { servers, controller: 's1', testimony, isOffline: true, behindMs: 0 };
  const verdict = judgeLost(servers[1] ?? row('', 'lost'), evidence);
  assert.deepEqual([verdict.gone, verdict.alive], [false, true]);
  assert.match(verdict.reason, /not let in: The agent on s2 speaks protocol 1, the controller 2\./);
});

plainTest('an agent that says hello finds its server as it was left', () => {
  const welcomed = (state: ServerRow['state'], drainReason: string | null = null) => toWelcomed({ state, drainReason });
  assert.equal(toWelcomed(undefined), 'ready');
  assert.deepEqual(
    [welcomed('joining'), welcomed('ready'), welcomed('draining', 'why'), welcomed('lost', 'why'), welcomed('lost')],
    ['ready', 'ready', 'draining', 'draining', 'ready'],
  );
  assert.deepEqual([welcomed('fenced'), welcomed('back'), welcomed('fenced', 'why')], ['back', 'back', 'back']);
});
