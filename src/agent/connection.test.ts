// An agent that knows several doors: it is where the hello is accepted, and goes there again when that changes.
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { type WebSocket, WebSocketServer } from 'ws';
import { makeSystemClock } from '../lib/clock.ts';
import { commonProblems, makeCatalogue } from '../lib/errors.ts';
import { type Logger, makeSilentLogger } from '../lib/log.ts';
import { type AgentContract, agentContract, controllerContract } from '../protocol/contract.ts';
import { type Answers, makePeer } from '../protocol/peer.ts';
import { makeConnection } from './connection.ts';

const TRY_ELSEWHERE = 1013;

/** A controller as far as a connection sees it. */
interface Played {
  readonly url: string;
  /** Whether it accepts a hello; one that does not closes, as a controller that stands by does. */
  leads: boolean;
  readonly hellos: number;
  /** Connections that stand. */
  open(): number;
  /** Hangs up on everybody. */
  hangUp(): void;
  close(): Promise<void>;
}

async function playController(heard: EventEmitter): Promise<Played> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const accepted = new Set<WebSocket>();
  let hellos = 0;
  const played: Played = {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    leads: false,
    get hellos() {
      return hellos;
    },
    open: () => accepted.size,
    hangUp() {
      for (const socket of server.clients) socket.terminate();
    },
    async close() {
      played.hangUp();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const refuse = () => Promise.reject(commonProblems.make('internal', { what: 'nothing else is asked here' }));
  server.on('connection', (socket) => {
    if (!played.leads) return socket.close(TRY_ELSEWHERE, 'another controller leads');
    const peer = makePeer({
      name: 'agent',
      wire: { send: (text) => socket.send(text), close: () => socket.close() },
      ours: controllerContract,
      theirs: agentContract,
      log: makeSilentLogger(),
      answers: {
        ...{ heartbeat: refuse, 'runs.report': refuse, 'certificate.renew': refuse },
        ...{ 'config.server': refuse, 'config.pool': refuse, 'config.edge': refuse },
        async hello() {
          hellos += 1;
          accepted.add(socket);
          return { accepted: true as const };
        },
      },
    });
    socket.on('message', (data) => peer.receive(String(data)));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      accepted.delete(socket);
      peer.disconnected();
      heard.emit('change');
    });
  });
  return played;
}

async function withAgent(
  count: number,
  work: (about: { controllers: Played[]; until(isSo: () => boolean): Promise<void> }) => Promise<void>,
): Promise<void> {
  const heard = new EventEmitter();
  const controllers = await Promise.all(Array.from({ length: count }, () => playController(heard)));
  const stop = new AbortController();
  const connection = makeConnection({
    doors: () => controllers.map(({ url }) => ({ url })),
    hello: { server: 's1', protocol: 1, version: 'test', address: '10.0.0.1' },
    answers: {} as Answers<AgentContract>,
    onHello: () => heard.emit('change'),
    ...{ clock: makeSystemClock(), log: makeSilentLogger() },
  });
  const running = connection.run(stop.signal);
  const until = async (isSo: () => boolean): Promise<void> => {
    const bound = AbortSignal.timeout(10_000);
    while (!isSo()) await once(heard, 'change', { signal: bound });
  };
  try {
    await work({ controllers, until });
  } finally {
    stop.abort(new Error('the test is over'));
    await running;
    await Promise.all(controllers.map((one) => one.close()));
  }
}

test('of several doors it goes through the one that opens, and through no other', () =>
  withAgent(3, async ({ controllers, until }) => {
    const [first, second, third] = controllers;
    assert.ok(first && second && third);
    second.leads = true;
    await until(() => second.open() === 1);
    assert.deepEqual([first.hellos, second.hellos, third.hellos], [0, 1, 0]);
  }));

test('when another one leads it goes there, and back', () =>
  withAgent(2, async ({ controllers, until }) => {
    const [first, second] = controllers;
    assert.ok(first && second);
    const lead = (one: Played, other: Played) => {
      other.leads = false;
      one.leads = true;
      other.hangUp();
    };
    lead(first, second);
    await until(() => first.open() === 1);
    lead(second, first);
    await until(() => second.open() === 1 && first.open() === 0);
    lead(first, second);
    await until(() => first.open() === 1 && second.open() === 0);
  }));

test('while none leads it asks again and again', () =>
  withAgent(2, async ({ controllers, until }) => {
    const [first] = controllers;
    assert.ok(first);
    await until(() => true);
    first.leads = true;
    await until(() => first.open() === 1);
  }));

test('an agent that is turned away says why, once for each reason, and goes on knocking', async () => {
  const heard = new EventEmitter();
  let knocks = 0;
  let why = 'it was revoked';
  const door = createServer().on('upgrade', (_, socket) => {
    knocks += 1;
    const { document } = serverRefusal(why);
    const body = JSON.stringify(document);
    socket.end(`HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    heard.emit('change');
  });
  door.listen(0, '127.0.0.1');
  await once(door, 'listening');
  const said: string[] = [];
  const log: Logger = { ...makeSilentLogger(), warn: (_, text) => void said.push(text) };
  const stop = new AbortController();
  const connection = makeConnection({
    doors: () => [
      { url: 'ws+unix:///nobody/is/here.sock:/v1/agent' },
      { url: `ws://127.0.0.1:${(door.address() as AddressInfo).port}` },
    ],
    hello: { server: 's1', protocol: 1, version: 'test', address: '10.0.0.1' },
    ...{ answers: {} as Answers<AgentContract>, onHello: () => undefined, clock: makeSystemClock(), log },
  });
  const running = connection.run(stop.signal);
  const bound = AbortSignal.timeout(10_000);
  while (knocks < 3) await once(heard, 'change', { signal: bound });
  why = 'its time is over';
  while (knocks < 5) await once(heard, 'change', { signal: bound });
  stop.abort(new Error('the test is over'));
  await running;
  door.close();
  assert.deepEqual(said, [
    'no controller lets us in: it was revoked is refused.',
    'no controller lets us in: its time is over is refused.',
  ]);
});

const serverRefusal = (why: string) =>
  makeCatalogue('door', {
    refused: { status: 403, title: 'Refused', detail: (a: { why: string }) => `${a.why} is refused.`, todo: () => '' },
  }).make('refused', { why });
