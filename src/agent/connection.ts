// Keeps the agent's connection to the controller: connects, says hello, reconnects for ever with a bounded
// backoff. Apart from what is said over it. The controller being away never stops anything else.
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

const FIRST_RETRY_MS = 200;
/** As often as heartbeats: operations wait for it. */
const LAST_RETRY_MS = 1_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** A controller's machine that vanished closes nothing: without an answer to a ping for this long we hang up. */
const PING_EVERY_MS = 5_000;

export interface Connection {
  /** The controller, or undefined while it is away. */
  controller(): Peer<ControllerContract> | undefined;
  /** Runs until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * `url`: `ws+unix:///path/controller.sock:/v1/agent` beside the controller, `wss://…` from another server, with what TLS
 * wants to know (asked at each connection: it changes). `onHello` runs after each accepted hello.
 */
export function makeConnection(parts: {
  url: string;
  tls?: () => ConnectionOptions;
  hello: { server: string; protocol: number; version: string; address: string };
  answers: Answers<AgentContract>;
  onHello: () => void;
  clock: Clock;
  log: Logger;
}): Connection {
  const { url, tls, hello, answers, onHello, clock, log } = parts;
  let current: Peer<ControllerContract> | undefined;

  async function connectOnce(signal: AbortSignal): Promise<void> {
    const bounds = { handshakeTimeout: CONNECT_TIMEOUT_MS, maxPayload: 64 * 1024 * 1024 };
    const socket = new WebSocket(url, { ...bounds, ...tls?.() });
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
    }, PING_EVERY_MS);
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('open', resolve);
        socket.once('error', reject);
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
      try {
        await peer.call('hello', hello, { timeoutMs: CONNECT_TIMEOUT_MS, signal });
        current = peer;
        log.info({}, 'connected to the controller');
        onHello();
        await closed;
      } finally {
        current = undefined;
        peer.disconnected();
      }
    } finally {
      clearInterval(pings);
      signal.removeEventListener('abort', hangUp);
      socket.terminate();
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
          if (!signal.aborted) log.debug({ err: thrown }, 'the controller is not there, or does not let us in');
        }
        if (clock.monotonicMs() - startedMs > LAST_RETRY_MS) retryMs = FIRST_RETRY_MS;
        await clock.wait(retryMs, signal).catch(() => undefined);
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
      }
    },
  };
}
