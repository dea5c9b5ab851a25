import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { listAble, pickServer, type RunServer, refuse } from './pick-server.ts';
import { renderPlacement } from './placement.ts';
import { DEFAULT_SETTINGS } from './settings.ts';

const server = (name: string, over: Partial<RunServer> = {}): RunServer => ({
  ...{
    server: name,
    beat: 'x',
    free: 4,
    slots: 8,
    cpuPressure: 10,
    memoryPressure: 0,
    ioPressure: 0,
    memoryFreeBytes: 4e9,
  },
  ...over,
});
const pick = (servers: RunServer[], taskClass: 'urgent' | 'normal' | 'bulk' = 'normal', random = Math.random) =>
  pickServer(listAble(servers, taskClass, DEFAULT_SETTINGS), random);

void describe('the server for a run', () => {
  void it('of two by chance the one under less pressure and with more room takes it, with the reason', () => {
    for (let turn = 0; turn < 20; turn += 1) {
      const choice = pick([server('a', { cpuPressure: 70 }), server('b')]);
      assert.equal(choice?.server.server, 'b');
      assert.equal(
        renderPlacement('b', choice?.placement ?? ''),
        'b: better than a, two of 2 by chance; 10 % pressure, 4 of 8 slots free',
      );
    }
    assert.equal(pick([server('a', { free: 1 }), server('b')])?.server.server, 'b');
  });

  void it('many runs spread over equal servers', () => {
    const servers = ['a', 'b', 'c', 'd'].map((name) => server(name, { free: 100, slots: 100 }));
    for (let turn = 0; turn < 200; turn += 1) {
      const choice = pick(servers);
      assert.ok(choice);
      choice.server.free -= 1;
    }
    for (const one of servers) assert.ok(one.free >= 44 && one.free <= 56, `${one.server} has ${100 - one.free}`);
  });

  void it('servers that fill up while a batch is placed take no more, and all room is used', () => {
    const able = ['a', 'b', 'c'].map((name, index) => server(name, { free: index + 1 }));
    const taken: string[] = [];
    for (let choice = pickServer(able, Math.random); choice !== undefined; choice = pickServer(able, Math.random)) {
      choice.server.free -= 1;
      taken.push(choice.server.server);
    }
    assert.deepEqual(taken.sort(), ['a', 'b', 'b', 'c', 'c', 'c']);
  });

  void it('without a slot, memory or calm enough for its class a server takes nothing, and says why', () => {
    assert.equal(refuse(server('a', { free: 0 }), 'urgent', DEFAULT_SETTINGS), 'a has all 8 slots taken');
    assert.equal(
      refuse(server('a', { memoryFreeBytes: 1e6 }), 'urgent', DEFAULT_SETTINGS),
      'a has only 0 MB of memory free',
    );
    const pressed = server('a', { ioPressure: 90 });
    assert.equal(refuse(pressed, 'bulk', DEFAULT_SETTINGS), 'a has 90 % pressure, too much for bulk tasks');
    assert.equal(refuse(pressed, 'normal', DEFAULT_SETTINGS), undefined);
    assert.equal(pick([pressed], 'bulk'), undefined);
    assert.equal(
      renderPlacement('a', pick([pressed], 'urgent')?.placement ?? ''),
      'a: the only one of its pool with room; 90 % pressure, 4 of 8 slots free',
    );
  });
});
