// The sockets of the API: a Unix socket for root, a TLS port for tokens, and agents' WebSockets on the Unix socket.
// Apart from the application, which knows no files or ports.
import { chmod, lstat, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { getRequestListener } from '@hono/node-server';
import { type WebSocket, WebSocketServer } from 'ws';
import { commonProblems } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { Bindings, Transport } from './api.ts';
import { readOrMakeCertificate } from './tls.ts';

/** Path of the agents' WebSocket. */
const AGENT_PATH = '/v1/agent';
/** A site document is some KiB; a pool of 1,000 sites in one answer stays well under this. */
const AGENT_MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024;
/** Bounds against slow or silent clients: all headers, then the whole request, must have come by then. */
const BOUNDS = { headersTimeout: 10_000, requestTimeout: 30_000, maxHeaderSize: 16 * 1024 };

export interface ServerOptions {
  /** Path of the Unix socket, mode 0600; at most 107 bytes. */
  socketPath: string;
  /** The TLS port, when there is one; port 0 takes a free one. `names` go into the certificate. */
  tls?: { host: string; port: number; dir: string; names: readonly string[] };
}

export interface RunningServer {
  /** The TLS port in use. */
  readonly tlsPort: number | undefined;
  /** Takes no more requests, ends the open ones within 5 s, removes the socket. */
  close(): Promise<void>;
}

/** The application as the sockets see it. */
export interface Application {
  fetch(request: Request, bindings: Bindings): Response | Promise<Response>;
}

/** Serves the application; `acceptAgent` takes over the WebSockets of agents. */
export async function serveApi(parts: {
  api: Application;
  acceptAgent: (socket: WebSocket) => void;
  options: ServerOptions;
  log: Logger;
}): Promise<RunningServer> {
  const { api, acceptAgent, options, log } = parts;
  const listen = (transport: Transport): RequestListener => {
    const listener = getRequestListener((request) => api.fetch(request, { transport }), {
      overrideGlobalObjects: false,
    });
    return (incoming, outgoing) => void listener(incoming, outgoing);
  };

  await removeStaleSocket(options.socketPath);
  const local = createServer(BOUNDS, listen('local'));
  const sockets = new WebSocketServer({ noServer: true, maxPayload: AGENT_MESSAGE_LIMIT_BYTES });
  local.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.url !== AGENT_PATH) {
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, acceptAgent);
  });
  await started(local, () => {
    // The file must never be open to others, not even between bind and chmod. Binding happens within listen().
    const umask = process.umask(0o177);
    local.listen(options.socketPath);
    process.umask(umask);
  });
  await chmod(options.socketPath, 0o600);

  const servers: Server[] = [local];
  let tlsPort: number | undefined;
  if (options.tls !== undefined) {
    const { host, port, dir, names } = options.tls;
    const tls = createTlsServer({ ...BOUNDS, ...(await readOrMakeCertificate(dir, names)) }, listen('remote'));
    servers.push(tls);
    try {
      await started(tls, () => tls.listen(port, host));
    } catch (thrown) {
      await closeAll(servers);
      throw thrown;
    }
    const address = tls.address();
    tlsPort = typeof address === 'object' ? address?.port : undefined;
  }
  log.info({ socketPath: options.socketPath, tlsPort }, 'the API serves');

  return {
    tlsPort,
    async close() {
      for (const client of sockets.clients) client.terminate();
      await closeAll(servers);
      await rm(options.socketPath, { force: true });
    },
  };
}

function started(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.removeListener('error', reject);
      resolve();
    });
    listen();
  });
}

async function closeAll(servers: readonly Server[]): Promise<void> {
  await Promise.all(
    servers.map(
      (server) =>
        new Promise<void>((resolve) => {
          const late = setTimeout(() => server.closeAllConnections(), 5_000);
          server.close(() => {
            clearTimeout(late);
            resolve();
          });
          server.closeIdleConnections();
        }),
    ),
  );
}

/** A socket file whose process is gone is removed; one that answers belongs to another controller, which is a problem. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw commonProblems.make('invalid-input', { where: path, why: 'it is in the way of the socket and is no socket' });
  }
  const answers = await new Promise<boolean>((resolve) => {
    const socket: Socket = connect(path);
    socket.setTimeout(2_000, () => socket.destroy(new Error('no answer')));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
  if (answers) {
    throw commonProblems.make('invalid-input', {
      where: path,
      why: 'another controller already serves this data directory',
    });
  }
  await rm(path, { force: true });
}
