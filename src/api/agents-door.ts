// The door for other servers: TLS with the deployment's own authority. Machines that join ask here without a certificate and
// with a token; agents come with theirs and get their WebSocket. Apart from the API's ports: nothing else is served here.
import { X509Certificate } from 'node:crypto';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { type WebSocket, WebSocketServer } from 'ws';
import { z } from 'zod';
import { type ControllerEquipment, controllerJoinSchema } from '../controllers/join.ts';
import type { Clock } from '../lib/clock.ts';
import { commonProblems, type Problem, toProblem } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { makeSeldom } from '../lib/seldom.ts';
import { fingerprintOf } from '../platform/certificates.ts';
import { CONTROLLER_NAME } from '../servers/authority.ts';
import { type JoinAnswer, type JoinRequest, joinRequestSchema } from '../servers/join.ts';
import { serverProblems } from '../servers/problems.ts';

const AGENT_PATH = '/v1/agent';
const JOIN_PATH = '/v1/join';
/** What the controller of a server must have, for a token. */
const EQUIP_PATH = '/v1/equip';
/** What the controller thinks of the server whose certificate is shown. */
const SELF_PATH = '/v1/self';
const AGENT_MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024;
const JOIN_LIMIT_BYTES = 16 * 1024;
const BOUNDS = { headersTimeout: 10_000, requestTimeout: 30_000, maxHeaderSize: 16 * 1024 };

export interface DoorParts {
  admit(request: JoinRequest): Promise<JoinAnswer>;
  /** Whose certificate this is, by its key's fingerprint, while it counts. */
  readCertified(fingerprint: string): Promise<string | undefined>;
  readState(server: string): Promise<{ state: string; reason: string }>;
  /** Gives a server's controller what it must have, for a token. */
  equip(asked: { server: string; secret: string }): Promise<ControllerEquipment>;
  /** Answers what another controller was asked and handed on. */
  forwarded(request: IncomingMessage, response: ServerResponse): void;
  accept(socket: WebSocket, server: string): void;
  clock: Clock;
  log: Logger;
}

/** Whoever is turned away for one reason is so each second. */
const TURNED_AWAY = { everyMs: 600_000, most: 1_000 };

export interface AgentsDoor {
  /** Listens; a second time it changes nothing. */
  open(at: { port: number; key: string; certificate: string; authority: string }): Promise<void>;
  /** The port in use, while it is open. */
  port(): number | undefined;
  close(): Promise<void>;
}

/** Makes the door, closed. */
export function makeAgentsDoor(parts: DoorParts): AgentsDoor {
  const { admit, equip, forwarded, readCertified, readState, accept, clock, log } = parts;
  const isNews = makeSeldom(() => clock.monotonicMs(), TURNED_AWAY);
  let server: Server | undefined;
  const sockets = new WebSocketServer({ noServer: true, maxPayload: AGENT_MESSAGE_LIMIT_BYTES });

  async function readBody<T>(request: IncomingMessage, schema: z.ZodType<T>): Promise<T> {
    let text = '';
    for await (const piece of request.setEncoding('utf8')) {
      text += String(piece);
      if (text.length > JOIN_LIMIT_BYTES)
        throw commonProblems.make('invalid-input', { where: 'body', why: 'too long' });
    }
    const parsed = schema.safeParse(parseJson(text));
    if (!parsed.success)
      throw commonProblems.make('invalid-input', { where: 'body', why: z.prettifyError(parsed.error) });
    return parsed.data;
  }

  const join = async (request: IncomingMessage): Promise<JoinAnswer> =>
    await admit(await readBody<JoinRequest>(request, joinRequestSchema));

  const equipAsked = async (request: IncomingMessage): Promise<ControllerEquipment> => {
    const name = await identify(request.socket as TLSSocket);
    return await equip({ server: name, ...(await readBody(request, controllerJoinSchema)) });
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (isController(request.socket as TLSSocket)) return forwarded(request, response);
    try {
      const asked = `${request.method} ${request.url}`;
      if (asked === `POST ${JOIN_PATH}`) end(response, 200, await join(request));
      else if (asked === `POST ${EQUIP_PATH}`) end(response, 200, await equipAsked(request));
      else if (asked === `GET ${SELF_PATH}`)
        end(response, 200, await readState(await identify(request.socket as TLSSocket)));
      else throw commonProblems.make('not-found', { noun: 'route', name: asked });
    } catch (thrown) {
      const problem = toProblem(thrown);
      if (problem.document.status >= 500) log.warn({ err: thrown }, 'a machine could not join');
      end(response, problem.document.status, problem.document);
    }
  }

  /** The server that the certificate names; throws `server.certificate-refused` with the reason. */
  async function identify(socket: TLSSocket): Promise<string> {
    const { raw } = socket.getPeerCertificate();
    if (raw === undefined) throw refused('it shows no certificate');
    if (!socket.authorized)
      throw refused(`it is not one of this deployment, or its time is over (${String(socket.authorizationError)})`);
    const found = await readCertified(fingerprintOf(new X509Certificate(raw).publicKey));
    if (found === undefined) throw refused('it was revoked');
    return found;
  }

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    try {
      if (request.url !== AGENT_PATH)
        throw commonProblems.make('not-found', { noun: 'route', name: request.url ?? '' });
      const name = await identify(socket as TLSSocket);
      sockets.handleUpgrade(request, socket, head, (made) => accept(made, name));
    } catch (thrown) {
      const { document } = toProblem(thrown);
      const from = request.socket.remoteAddress;
      if (isNews(`${from} ${document.detail}`)) log.warn({ code: document.code, from }, document.detail);
      const body = JSON.stringify(document);
      socket.end(
        `HTTP/1.1 ${document.status} ${STATUS_CODES[document.status] ?? ''}\r\nConnection: close\r\n` +
          `Content-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    }
  }

  return {
    async open({ port, key, certificate, authority }) {
      if (server !== undefined) return;
      const made = createServer(
        {
          ...BOUNDS,
          // The authority goes with it, so that a machine that joins can hold it against its token.
          ...{ key, cert: certificate + authority, ca: authority },
          ...{ requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.3' },
        },
        (request, response) => void answer(request, response),
      );
      made.on(
        'upgrade',
        (request: IncomingMessage, socket: Duplex, head: Buffer) => void upgrade(request, socket, head),
      );
      await new Promise<void>((resolve, reject) => {
        made.once('error', reject);
        made.listen(port, '0.0.0.0', () => {
          made.removeListener('error', reject);
          resolve();
        });
      });
      server = made;
      log.info({ port }, 'the door for other servers is open');
    },
    port() {
      const address = server?.address();
      return typeof address === 'object' ? address?.port : undefined;
    },
    async close() {
      for (const client of sockets.clients) client.terminate();
      const closing = server;
      if (closing === undefined) return;
      server = undefined;
      closing.closeAllConnections();
      await new Promise<void>((resolve) => closing.close(() => resolve()));
    },
  };
}

/** Only a controller has a certificate of that name: servers' names have no blanks, and the authority signs no others. */
const isController = (socket: TLSSocket): boolean =>
  socket.authorized && socket.getPeerCertificate().subject?.CN === CONTROLLER_NAME;

const refused = (why: string): Problem => serverProblems.make('certificate-refused', { why });

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function end(response: ServerResponse, status: number, document: object): void {
  const type = status < 400 ? 'application/json' : 'application/problem+json';
  response.writeHead(status, { 'content-type': type, connection: 'close' }).end(JSON.stringify(document));
}
