// Where a new container goes, and what is said when it can go nowhere.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Problem } from '../lib/errors.ts';
import { withStores } from '../platform/test-store.ts';
import type { ServerLoad } from '../protocol/contract.ts';
import { choosePlacement, freeMb, MOST_STARTING, RESERVED_MEMORY_MB } from './place.ts';
import { assertMemory } from './room.ts';
import { type ServerRow, type ServerState, storeHeartbeats, storeServer } from './store.ts';

const MB = 2 ** 20;

function makeLoad(given: { freeMb?: number; pressure?: number } = {}): ServerLoad {
  const bytes = (given.freeMb ?? 8_192) * MB;
  return {
    ...{ cores: 2, load1: 0, cpuPressure: given.pressure ?? 0, memoryPressure: 0, ioPressure: 0, clockMs: 0 },
    ...{ memoryTotalBytes: bytes, memoryAvailableBytes: bytes, diskTotalBytes: bytes, diskFreeBytes: bytes },
  };
}

function makeServer(
  name: string,
  given: { freeMb?: number; pressure?: number; state?: ServerState; domain?: string } = {},
): ServerRow {
  const state = given.state ?? 'ready';
  const reason = state === 'lost' ? 'no heartbeat for 12 s' : 'its agent said hello';
  return {
    name,
    state,
    reason,
    address: '',
    version: '',
    domain: given.domain ?? name,
    silentMs: 0,
    drainReason: null,
    clockAheadMs: 0,
    ...{ alive: false, isEngineSilent: false, isFenceUp: false, left: [] },
    load: makeLoad(given),
  };
}

const wish = (memoryMb = 512, groupOn: Record<string, number> = {}) => ({
  memoryMb,
  groupOn: new Map(Object.entries(groupOn)),
});

void test('nodes are spread over failure domains before servers, and bound to one server where they must be', () => {
  const [a, b] = [makeServer('a', { domain: 'r1' }), makeServer('b', { domain: 'r1' })];
  const c = makeServer('c', { domain: 'r2', pressure: 90 });
  assert.deepEqual(choosePlacement([a, b, c], wish(512, { a: 1 })), {
    server: 'c',
    reason: 'c is the best of 3 with room: 0 of its kind there and 0 in r2, 90 % pressure, 8192 MB free',
  });
  const only = { server: 'a', why: 'its uploads lie there' };
  assert.deepEqual(choosePlacement([a, b, c], { ...wish(), only }), {
    server: 'a',
    reason: 'a is the only server that it can be on: its uploads lie there',
  });
  const away = [makeServer('a', { state: 'lost' }), b, c];
  assert.throws(() => choosePlacement(away, { ...wish(), only }), { code: 'server.only-one-away' });
});

void test('the server with the fewest of the group is chosen, and the sentence says why', () => {
  const choice = choosePlacement([makeServer('a'), makeServer('b', { pressure: 60 })], wish(512, { a: 1 }));
  assert.deepEqual(choice, {
    server: 'b',
    reason: 'b is the best of 2 with room: 0 of its kind there, 60 % pressure, 8192 MB free',
  });
});

void test('among equals the least pressed server is chosen, then the one with the most memory, then by name', () => {
  assert.equal(choosePlacement([makeServer('a', { pressure: 5 }), makeServer('b')], wish()).server, 'b');
  assert.equal(choosePlacement([makeServer('a'), makeServer('b', { freeMb: 9_000 })], wish()).server, 'b');
  assert.equal(choosePlacement([makeServer('b'), makeServer('a')], wish()).server, 'a');
});

void test('a server that is not ready, or has not said how it is, is passed over', () => {
  const unknown: ServerRow = { ...makeServer('a'), load: undefined };
  const servers = [unknown, makeServer('b', { state: 'draining' }), makeServer('c', { freeMb: 1_100 })];
  assert.equal(
    choosePlacement(servers, wish()).reason,
    'c is the only server with room: 0 of its kind there, 0 % pressure, 1100 MB free',
  );
});

void test('without a ready server it is waited for, and said why each is not', () => {
  assert.throws(() => choosePlacement([makeServer('a', { state: 'lost' })], wish()), {
    code: 'server.none-ready',
    retryable: true,
    message: /a is lost \(no heartbeat for 12 s\)/,
  });
  assert.throws(() => choosePlacement([], wish()), { message: /no server has joined yet/ });
});

void test('without memory nothing is placed, and what each server has is said', () => {
  assert.throws(() => choosePlacement([makeServer('a', { freeMb: 1_000 })], wish(512)), {
    code: 'server.no-memory',
    retryable: false,
    message: /1024 MB are needed; a has 1000 MB free/,
  });
});

void test('whatever the servers are: the choice is ready, has room, and none with room has fewer of the group', () => {
  const anyServer = fc.record({
    state: fc.constantFrom<ServerState>('joining', 'ready', 'draining', 'lost', 'fenced'),
    freeMb: fc.integer({ min: 0, max: 4_096 }),
    pressure: fc.integer({ min: 0, max: 100 }),
    group: fc.integer({ min: 0, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(anyServer, { maxLength: 6 }), fc.integer({ min: 64, max: 2_048 }), (given, memoryMb) => {
      const servers = given.map((one, at) => makeServer(`s${at}`, one));
      const groupOn = new Map(given.map(({ group }, at) => [`s${at}`, group]));
      const roomy = servers.filter((one) => one.state === 'ready' && freeMb(one) - RESERVED_MEMORY_MB >= memoryMb);
      try {
        const { server } = choosePlacement(servers, { memoryMb, groupOn });
        assert.ok(roomy.some(({ name }) => name === server));
        assert.ok(roomy.every(({ name }) => (groupOn.get(name) ?? 0) >= (groupOn.get(server) ?? 0)));
      } catch (thrown) {
        if (!(thrown instanceof Problem)) throw thrown;
        assert.deepEqual(roomy, []);
      }
    }),
  );
});

withStores((it) => {
  it('memory for several containers may lie on several servers; it is not looked for while none is ready', async ({
    store,
  }) => {
    await assertMemory(store, { memoryMb: 512, count: 100 });
    for (const name of ['a', 'b']) {
      await storeServer(store, { name, state: 'ready', reason: 'test', address: '', version: '' });
      await storeHeartbeats(store, [{ server: name, load: makeLoad({ freeMb: RESERVED_MEMORY_MB + 1_100 }) }]);
    }
    await assertMemory(store, { memoryMb: 512, count: 4 });
    const refused = { code: 'server.no-memory', message: /3072 MB are needed; a has 1612 MB free, b has 1612 MB free/ };
    await assert.rejects(assertMemory(store, { memoryMb: 512, count: 5 }), refused);
  });
});

void test('a server on which as many boot as may is left alone while another has room', () => {
  const servers = [makeServer('a', { freeMb: 9_000 }), makeServer('b', { freeMb: 8_000 })];
  const choose = (starting: Record<string, number>) =>
    choosePlacement(servers, {
      ...{ memoryMb: 256, groupOn: new Map([['b', 5]]), startingOn: new Map(Object.entries(starting)) },
    }).server;
  assert.equal(choose({}), 'a');
  assert.equal(choose({ a: MOST_STARTING - 1 }), 'a');
  assert.equal(choose({ a: MOST_STARTING }), 'b');
  assert.equal(choose({ a: MOST_STARTING, b: MOST_STARTING }), 'a', 'then all have to wait');
});

void test('nothing is placed on a server whose disk is full, and the refusal says so', () => {
  const load = { ...makeLoad(), diskTotalBytes: 1_000 * MB, diskFreeBytes: 20 * MB };
  const full = { ...makeServer('a'), load };
  const wish = { memoryMb: 256, groupOn: new Map([['b', 5]]) };
  assert.equal(choosePlacement([full, makeServer('b')], wish).server, 'b');
  assert.throws(
    () => choosePlacement([full], wish),
    (thrown) =>
      thrown instanceof Problem &&
      thrown.code === 'server.no-memory' &&
      thrown.document.detail.includes('a has 8192 MB free, and its disk is full'),
  );
  const storage = { storageTotalBytes: 1_000 * MB, storageFreeBytes: 20 * MB };
  const filled = { ...makeServer('a'), load: { ...makeLoad(), ...storage } };
  assert.equal(choosePlacement([filled, makeServer('b')], wish).server, 'b');
});

void test('nothing is placed on a server whose engine answers nobody', () => {
  const silent = { ...makeServer('a'), isEngineSilent: true };
  const wish = { memoryMb: 256, groupOn: new Map([['b', 5]]) };
  assert.equal(choosePlacement([silent, makeServer('b')], wish).server, 'b');
  assert.throws(() => choosePlacement([silent], wish), { code: 'server.none-ready' });
});
