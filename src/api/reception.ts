// Who answers at the API's sockets: this controller while it leads, else the one that leads, which is asked over the agents'
// door. So each controller's command line works alike. Apart from the application, which knows of one controller only.
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { Agent, fetch as undiciFetch } from 'undici';
import type { WebSocket } from 'ws';
import { controllerProblems } from '../controllers/problems.ts';
import { toProblem } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { CONTROLLER_NAME } from '../servers/authority.ts';
import type { Bindings, Transport } from './api.ts';
import type { Application } from './server.ts';

/** How the request came to the controller that stands by: what its sockets say of it is believed. */
const TRANSPORT_HEADER = 'espalier-transport';
/** WebSocket close code 1013, "try again later" (IANA): agents try the next address. */
const TRY_ELSEWHERE = 1013;
const CONNECT_TIMEOUT_MS = 3_000;
/** Of one connection to the next: not to be sent on. */
const HOP_HEADERS = ['connection', 'keep-alive', 'transfer-encoding', 'host', 'upgrade', 'content-length'];

/** What answers while this controller leads. */
export interface Leading {
  fetch: Application['fetch'];
  acceptAgent(socket: WebSocket): void;
}

export interface LeaderAddress {
  id: string;
  name: string;
  address: string | null;
  port: number | null;
}

export interface Reception extends Application {
  acceptAgent(socket: WebSocket): void;
  /** From now on this controller answers, until `standBy`. */
  lead(leading: Leading): void;
  standBy(): void;
  close(): Promise<void>;
}

/** Makes it, standing by. `about` is what this controller says of itself even then. */
export function makeReception(parts: {
  about(): Promise<object>;
  name: string;
  readLeader(): Promise<LeaderAddress | undefined>;
  /** Shown to the leader, which is known by the same authority. */
  readIdentity(): Promise<{ key: string; certificate: string; authority: string }>;
  log: Logger;
}): Reception {
  const { about, name, readLeader, readIdentity, log } = parts;
  let leading: Leading | undefined;
  let wire: Agent | undefined;

  async function openWire(): Promise<Agent> {
    if (wire !== undefined) return wire;
    const { key, certificate, authority } = await readIdentity();
    wire = new Agent({
      connect: {
        ...{ key, cert: certificate, ca: authority, minVersion: 'TLSv1.3', timeout: CONNECT_TIMEOUT_MS },
        checkServerIdentity: (_, { subject }) =>
          subject.CN === CONTROLLER_NAME ? undefined : new Error(`${String(subject.CN)} is no controller`),
      },
      // Streams of events are silent between their heartbeats.
      bodyTimeout: 0,
    });
    return wire;
  }

  async function handOn(request: Request, { transport }: Bindings): Promise<Response> {
    const leader = await readLeader();
    if (leader === undefined || leader.address === null) throw controllerProblems.make('none-leads', { name });
    const { pathname, search } = new URL(request.url);
    const headers = new Headers(request.headers);
    for (const hop of HOP_HEADERS) headers.delete(hop);
    headers.set(TRANSPORT_HEADER, transport);
    // The API takes bodies of 1 MiB at most and wants their length.
    const body = request.body === null ? undefined : new Uint8Array(await request.arrayBuffer());
    try {
      const answer = await undiciFetch(`https://${leader.address}:${leader.port}${pathname}${search}`, {
        ...{ method: request.method, headers: [...headers], redirect: 'manual', signal: request.signal },
        ...(body === undefined ? {} : { body }),
        dispatcher: await openWire(),
      });
      const given = new Headers([...answer.headers]);
      for (const hop of HOP_HEADERS) given.delete(hop);
      return new Response(answer.body as ReadableStream<Uint8Array> | null, { status: answer.status, headers: given });
    } catch (thrown) {
      request.signal.throwIfAborted();
      const cause = thrown instanceof Error ? (thrown.cause ?? thrown) : thrown;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw controllerProblems.make('leader-away', { name, leader: leader.name, why }, thrown);
    }
  }

  async function standIn(request: Request, bindings: Bindings): Promise<Response> {
    try {
      const isAbout = request.method === 'GET' && new URL(request.url).pathname === '/v1/about';
      if (isAbout && bindings.transport === 'local') return Response.json(await about());
      return await handOn(request, bindings);
    } catch (thrown) {
      const { document } = toProblem(thrown);
      if (document.status >= 500) log.debug({ err: thrown }, 'a request could not be handed on');
      return Response.json(document, {
        status: document.status,
        headers: { 'Content-Type': 'application/problem+json' },
      });
    }
  }

  return {
    fetch: (request, bindings) => leading?.fetch(request, bindings) ?? standIn(request, bindings),
    acceptAgent(socket) {
      if (leading === undefined) socket.close(TRY_ELSEWHERE, 'another controller leads');
      else leading.acceptAgent(socket);
    },
    lead(next) {
      leading = next;
    },
    standBy() {
      leading = undefined;
    },
    async close() {
      await wire?.destroy();
    },
  };
}

/** Answers what another controller handed on: as its sockets said that it came. */
export function makeForwardedListener(
  fetch: Application['fetch'],
): (request: IncomingMessage, response: ServerResponse) => void {
  const listenerOf = (transport: Transport): RequestListener => {
    const listener = getRequestListener((request) => fetch(request, { transport }), { overrideGlobalObjects: false });
    return (incoming, outgoing) => void listener(incoming, outgoing);
  };
  const listeners = { local: listenerOf('local'), remote: listenerOf('remote') };
  return (request, response) =>
    listeners[request.headers[TRANSPORT_HEADER] === 'local' ? 'local' : 'remote'](request, response);
}
