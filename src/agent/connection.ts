// Keeps the agent's connection to the controller that leads: knocks at every door it knows, says hello at the one that opens,
// reconnects for ever with a bounded backoff. Apart from what is said over it. The controller being away never stops anything
// else.
import type { ConnectionOptions } from 'node:tls';
import { WebSocket } from 'ws';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import {
  type AgentContract,
  agentContract,
  type ControllerContract,
  controllerContract,
} from '../protocol/contract.ts';
import { type Answers, makePeer, type Peer } from '../protocol/peer.ts';
import { isRefusal, readRefusal, toRefusal } from './refusals.ts';

const FIRST_RETRY_MS = 200;
/** As often as heartbeats: operations wait for it. */
const LAST_RETRY_MS = 1_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** A controller's machine that vanished closes nothing: without an answer to a ping for this long we hang up. */
const PING_EVERY_MS = 5_000;
/** … and sooner where another controller would take over: runs have 8 s. */
const PING_EVERY_OF_SEVERAL_MS = 1_500;
/** So much sooner is each door tried than the next one: where two doors lead to one controller, the first is used. */
const HEAD_START_MS = 100;

/**
 * Where a controller may be: `ws+unix:///path/controller.sock:/v1/agent` beside it, `wss://…` from another server, with what TLS
 * wants to know (asked at each connection: it changes).
 */
export interface Door {
  url: string;
  tls?: () => ConnectionOptions;
}

export interface Connection {
  /** The controller, or undefined while it is away. */
  controller(): Peer<ControllerContract> | undefined;
  /** Runs until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** A connection at which the hello was accepted. */
interface Line {
  door: Door;
  peer: Peer<ControllerContract>;
  closed: Promise<void>;
}

/** `doors` is asked before each attempt; of those behind them one controller at most accepts a hello. `onHello` runs after each accepted one. */
export function makeConnection(parts: {
  doors: () => readonly Door[];
  hello: { server: string; protocol: number; version: string; address: string };
  answers: Answers<AgentContract>;
  onHello: () => void;
  clock: Clock;
  log: Logger;
}): Connection {
  const { doors, hello, answers, onHello, clock, log } = parts;
  let current: Peer<ControllerContract> | undefined;
  /** The door that opened last is tried first. */
  let lastUrl: string | undefined;

  /** One door: resolves when the hello was accepted, and hangs up when the signal aborts, whenever that is. */
  async function knock(door: Door, pingEveryMs: number, signal: AbortSignal): Promise<Line> {
    signal.throwIfAborted();
    const bounds = { handshakeTimeout: CONNECT_TIMEOUT_MS, maxPayload: 64 * 1024 * 1024 };
    const socket = new WebSocket(door.url, { ...bounds, ...door.tls?.() });
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const hangUp = () => socket.terminate();
    signal.addEventListener('abort', hangUp, { once: true });
    let alive = true;
    socket.on('pong', () => {
      alive = true;
    });
    const pings = setInterval(() => {
      if (!alive) return socket.terminate();
      alive = false;
      if (socket.readyState === WebSocket.OPEN) socket.ping();
    }, pingEveryMs);
    void closed.then(() => {
      clearInterval(pings);
      signal.removeEventListener('abort', hangUp);
    });
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('open', resolve);
        socket.once('error', (error) => reject(toRefusal(error, door.url)));
        socket.once('unexpected-response', (_, response) => void readRefusal(response).then(reject, reject));
      });
      socket.on('error', (error) => log.debug({ err: error }, 'the connection to the controller broke'));
      const peer = makePeer({
        name: 'controller',
        wire: { send: (text) => socket.send(text), close: () => socket.close() },
        ours: agentContract,
        answers,
        theirs: controllerContract,
        log,
      });
      socket.on('message', (data) => peer.receive(String(data)));
      void closed.then(() => peer.disconnected());
      await peer.call('hello', hello, { timeoutMs: CONNECT_TIMEOUT_MS, signal });
      return { door, peer, closed };
    } catch (thrown) {
      socket.terminate();
      throw thrown;
    }
  }

  /** The first door that opens; the others are left. */
  async function knockAtAll(signal: AbortSignal): Promise<Line & { hangUp(): void }> {
    const all = [...doors()].sort((one, other) => Number(other.url === lastUrl) - Number(one.url === lastUrl));
    const pingEveryMs = all.length > 1 ? PING_EVERY_OF_SEVERAL_MS : PING_EVERY_MS;
    const attempts = all.map((door, at) => {
      const leave = new AbortController();
      const either = AbortSignal.any([signal, leave.signal]);
      const line = clock.wait(at * HEAD_START_MS, either).then(() => knock(door, pingEveryMs, either));
      return { leave, line };
    });
    try {
      const first = await Promise.any(attempts.map(({ line }, at) => line.then((opened) => ({ at, opened }))));
      const { leave } = attempts[first.at] ?? {};
      for (const other of attempts) if (other.leave !== leave) other.leave.abort(new Error('another door opened'));
      return { ...first.opened, hangUp: () => leave?.abort(new Error('hung up')) };
    } catch (thrown) {
      throw thrown instanceof AggregateError ? (thrown.errors.find(isRefusal) ?? thrown.errors[0]) : thrown;
    }
  }

  async function connectOnce(signal: AbortSignal): Promise<void> {
    const { door, peer, closed, hangUp } = await knockAtAll(signal);
    try {
      current = peer;
      lastUrl = door.url;
      said = undefined;
      log.info({ door: door.url }, 'connected to the controller');
      onHello();
      await closed;
    } finally {
      current = undefined;
      hangUp();
    }
  }

  /** A refusal once, until another one or an open door; that nobody is there is no news to people. */
  let said: string | undefined;
  function say(thrown: unknown): void {
    const refusal = isRefusal(thrown) ? thrown.document : undefined;
    if (refusal === undefined || refusal.detail === said) {
      log.debug({ err: thrown }, 'no controller is there, or none lets us in');
    } else {
      said = refusal.detail;
      log.warn({ code: refusal.code, todo: refusal.todo }, `no controller lets us in: ${refusal.detail}`);
    }
  }

  return {
    controller: () => current,
    async run(signal) {
      let retryMs = FIRST_RETRY_MS;
      while (!signal.aborted) {
        const startedMs = clock.monotonicMs();
        try {
          await connectOnce(signal);
          log.warn({}, 'the controller went away; what it said last goes on to hold');
        } catch (thrown) {
          if (!signal.aborted) say(thrown);
        }
        if (clock.monotonicMs() - startedMs > LAST_RETRY_MS) retryMs = FIRST_RETRY_MS;
        await clock.wait(retryMs, signal).catch(() => undefined);
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
      }
    },
  };
}
