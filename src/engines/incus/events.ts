// Lifecycle events over Incus's websocket. Apart because it is the one thing that runs on: the stream has no replay,
// so each beginning is told as `reset`, whereupon the reader lists what it follows anew.
import { once } from 'node:events';
import type { WebSocket } from 'ws';
import type { Clock } from '../../lib/clock.ts';
import type { FleetEvent } from '../fleet.ts';
import { type IncusClient, toPath } from './client.ts';
import { toEvent } from './parse.ts';
import type { ServerFacts } from './place.ts';
import type { WireEvent } from './wire.ts';

/** Between an interruption and the next attempt. */
const RECONNECT_MS = 1_000;
/** More than this unread means that the reader should list anew rather than catch up. */
const MAX_UNREAD = 10_000;

/** Events until `signal` aborts; see Fleet.events. */
export async function* watchEvents(
  client: IncusClient,
  server: ServerFacts,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<FleetEvent> {
  while (!signal.aborted) {
    const socket = client.openSocket(toPath('events'), { type: 'lifecycle' });
    try {
      yield* readSocket(client.project, server, socket, signal);
    } finally {
      socket.terminate();
    }
    await clock.wait(RECONNECT_MS, signal).catch(() => {});
  }
}

/** One connection's events; ends when it is interrupted or the signal aborts. */
async function* readSocket(
  project: string,
  server: ServerFacts,
  socket: WebSocket,
  signal: AbortSignal,
): AsyncGenerator<FleetEvent> {
  let unread: WireEvent[] = [];
  let overflow = false;
  let over = false;
  let wake = Promise.withResolvers<void>();
  const end = () => {
    over = true;
    wake.resolve();
  };
  socket.on('message', (data: Buffer) => {
    if (unread.length >= MAX_UNREAD) {
      unread = [];
      overflow = true;
    }
    unread.push(JSON.parse(data.toString('utf8')) as WireEvent);
    wake.resolve();
  });
  socket.on('error', end);
  socket.on('close', end);
  signal.addEventListener('abort', end, { once: true });
  try {
    await Promise.race([once(socket, 'open').catch(() => {}), wake.promise]);
    if (over || signal.aborted) return;
    const localName = await server.readName({ signal }).catch(() => undefined);
    if (localName === undefined) return;
    yield { kind: 'reset' };
    while (!signal.aborted) {
      if (overflow) {
        overflow = false;
        yield { kind: 'reset' };
      }
      for (const wire of unread.splice(0)) {
        const event = toEvent(project, wire, localName);
        if (event) yield event;
      }
      if (over) return;
      if (unread.length === 0) await wake.promise;
      wake = Promise.withResolvers();
    }
  } finally {
    signal.removeEventListener('abort', end);
  }
}
