// Which doors an agent knocks at, and in which order.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listDoors } from './doors.ts';

const identity = { toTls: () => ({}) };
const urlsOf = (about: Partial<Parameters<typeof listDoors>[0]>) =>
  listDoors({
    ...{ socket: undefined, joined: undefined, told: [], address: undefined, identity: undefined },
    ...about,
  }).map(({ url }) => url);

test('alone on its server an agent knocks at the socket only', () => {
  assert.deepEqual(urlsOf({ socket: '/run/c.sock', told: ['10.0.0.1:7443'] }), ['ws+unix:///run/c.sock:/v1/agent']);
});

test('beside a controller, with an identity, at the socket first and then at the others, not twice at its own', () => {
  assert.deepEqual(
    urlsOf({
      ...{ socket: '/run/c.sock', address: '10.0.0.1', identity },
      told: ['10.0.0.1:7443', '10.0.0.2:7443'],
    }),
    ['ws+unix:///run/c.sock:/v1/agent', 'wss://10.0.0.2:7443/v1/agent'],
  );
});

test('on a server that joined, at all that were told, and at the one that it joined by', () => {
  const about = { joined: '10.0.0.1:7443', address: '10.0.0.2', identity };
  assert.deepEqual(urlsOf(about), ['wss://10.0.0.1:7443/v1/agent']);
  assert.deepEqual(urlsOf({ ...about, told: ['10.0.0.2:7443', '10.0.0.1:7443'] }), [
    'wss://10.0.0.2:7443/v1/agent',
    'wss://10.0.0.1:7443/v1/agent',
  ]);
});
