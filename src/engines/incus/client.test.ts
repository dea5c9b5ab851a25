// What a healthy Incus does not do on demand (vanished operations, broken lines, silence), against a little server
// that speaks its protocol over a Unix socket.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, describe, it } from 'node:test';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Clock } from '../../lib/clock.ts';
import { Problem } from '../../lib/errors.ts';
import { makeIncusClient } from './client.ts';
import { watchEvents } from './events.ts';
import { runExec } from './exec.ts';
import { listServers } from './place.ts';

const folder = await mkdtemp(join(tmpdir(), 'incus-client-'));
after(() => rm(folder, { recursive: true }));

type Answer = (request: IncomingMessage, response: ServerResponse) => void;
const closers: (() => Promise<void>)[] = [];
let sockets = 0;

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A client of a server that answers by `answer`; `onSocket` gets each websocket. */
async function makeClient(answer: Answer, onSocket: (socket: WebSocket, request: IncomingMessage) => void = () => {}) {
  const socketPath = join(folder, `${sockets++}.socket`);
  const server = createServer(answer);
  const websockets = new WebSocketServer({ server });
  websockets.on('connection', onSocket);
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const client = makeIncusClient({ socketPath, project: 'ours' });
  closers.push(async () => {
    await client.close();
    for (const socket of websockets.clients) socket.terminate();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return client;
}

function reply(response: ServerResponse, body: object): void {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(body));
}

const OPERATION = {
  type: 'async',
  metadata: { id: 'op1', status: 'Running', status_code: 103, err: '', metadata: null },
};
const REQUEST = { method: 'POST', path: '/1.0/instances', what: 'container a', json: {} } as const;
const isCode = (code: string) => (thrown: unknown) => thrown instanceof Problem && thrown.code === `incus.${code}`;

/** Begins an operation, and answers its wait with `waited`. */
const operation =
  (waited: object): Answer =>
  (request, response) =>
    reply(response, request.url?.includes('/wait') ? waited : OPERATION);

void describe('a request', () => {
  void it('names the project, and parameters that are there', async () => {
    let url: string | undefined;
    const client = await makeClient((request, response) => {
      url = request.url;
      reply(response, { type: 'sync', metadata: 1 });
    });
    await client.send({ method: 'GET', path: '/1.0/x', what: 'x', query: { target: 's 1', no: undefined } }, {});
    assert.equal(url, '/1.0/x?project=ours&target=s+1');
  });

  void it('that is not answered within its bound is timed out, which is worth another try', async () => {
    const client = await makeClient(() => {});
    const asked = client.send({ method: 'GET', path: '/1.0', what: 'server' }, { timeoutMs: 30 });
    await assert.rejects(asked, (thrown) => isCode('timed-out')(thrown) && (thrown as Problem).retryable);
  });

  void it('ends with the caller’s own reason', async () => {
    const abort = new AbortController();
    const client = await makeClient(() => abort.abort(new Error('enough')));
    await assert.rejects(
      client.send({ method: 'GET', path: '/1.0', what: 'server' }, { signal: abort.signal }),
      /enough/,
    );
  });

  void it('whose line breaks, or that is not answered in JSON, found the engine away', async () => {
    const client = await makeClient((request) => request.socket.destroy());
    await assert.rejects(client.send({ method: 'GET', path: '/1.0', what: 'server' }, {}), isCode('away'));
    const other = await makeClient((_request, response) => response.end('<html>'));
    await assert.rejects(other.send({ method: 'GET', path: '/1.0', what: 'server' }, {}), isCode('away'));
  });
});

void describe('an operation', () => {
  void it('ends with its metadata', async () => {
    const metadata = { ...OPERATION.metadata, status_code: 200, metadata: { fingerprint: 'f' } };
    const client = await makeClient(operation({ type: 'sync', metadata }));
    assert.deepEqual(await client.operate(REQUEST, {}), { fingerprint: 'f' });
  });

  void it('that fails is its problem, in whichever way the engine tells it', async () => {
    const metadata = { ...OPERATION.metadata, status_code: 400, err: 'no space left on device' };
    const first = await makeClient(operation({ type: 'sync', metadata }));
    await assert.rejects(first.operate(REQUEST, {}), isCode('no-space'));
    const error = { type: 'error', error_code: 404, error: 'Storage volume not found' };
    const second = await makeClient(operation(error));
    await assert.rejects(second.operate(REQUEST, {}), isCode('not-found'));
  });

  void it('that the engine has forgotten is looked up in what it was about, and else unknown', async () => {
    const client = await makeClient(operation({ type: 'error', error_code: 404, error: 'Operation not found' }));
    assert.deepEqual(await client.operate(REQUEST, { isDone: async () => true }), {});
    await assert.rejects(client.operate(REQUEST, { isDone: async () => false }), isCode('outcome-unknown'));
    await assert.rejects(client.operate(REQUEST, {}), isCode('outcome-unknown'));
  });
});

void describe('the servers of a cluster', () => {
  const place = { project: 'ours', network: 'bridge', storagePool: 'pool' };
  const member = (name: string, status: string) => ({ server_name: name, url: `https://${name}`, status, message: '' });
  const members = [member('s1', 'Online'), member('s2', 'Online'), member('s3', 'Offline')];

  const cluster: Answer = (request, response) => {
    const url = request.url ?? '';
    if (url.includes('target=s2')) reply(response, { type: 'error', error_code: 503, error: 'connection refused' });
    else if (url.startsWith('/1.0/cluster')) reply(response, { type: 'sync', metadata: members });
    else if (url.startsWith('/1.0/storage-pools')) {
      reply(response, { type: 'sync', metadata: { space: { total: 9, used: 4 } } });
    } else if (url.startsWith('/1.0/resources')) {
      reply(response, { type: 'sync', metadata: { cpu: { total: 2 }, memory: { total: 8, used: 1 } } });
    } else reply(response, { type: 'sync', metadata: { environment: { server_clustered: true } } });
  };

  void it('are told even when one of them has died and the cluster does not know it yet', async () => {
    const servers = await listServers(await makeClient(cluster), place, {});
    assert.deepEqual(
      servers.map(({ name, status, memoryFreeBytes, diskFreeBytes }) => [name, status, memoryFreeBytes, diskFreeBytes]),
      [
        ['s1', 'online', 7, 5],
        ['s2', 'offline', 0, 0],
        ['s3', 'offline', 0, 0],
      ],
    );
  });
});

void describe('the event stream', () => {
  const server = {
    readName: async () => 'vm',
    toTarget: async () => undefined,
    readDoor: async () => assert.fail('there is one server'),
  };
  const started = (name: string) =>
    JSON.stringify({
      type: 'lifecycle',
      timestamp: 't',
      project: 'ours',
      metadata: { action: 'instance-started', source: `/1.0/instances/${name}` },
    });

  void it('begins anew after an interruption, and says so', async () => {
    const waitsMs: number[] = [];
    const clock: Clock = {
      nowMs: () => 0,
      monotonicMs: () => 0,
      wait: async (durationMs) => void waitsMs.push(durationMs),
    };
    let connections = 0;
    const client = await makeClient(
      () => {},
      (socket) => {
        socket.send(started(`c${connections++}`));
        socket.close();
      },
    );
    const abort = new AbortController();
    const seen: string[] = [];
    for await (const event of watchEvents(client, server, clock, abort.signal)) {
      seen.push(event.kind === 'reset' ? 'reset' : event.name);
      if (seen.length === 4) abort.abort();
    }
    assert.deepEqual(seen, ['reset', 'c0', 'reset', 'c1']);
    assert.equal(waitsMs[0], 1_000);
  });

  void it('tells its reader to list anew rather than catch up on too much', async () => {
    const clock: Clock = { nowMs: () => 0, monotonicMs: () => 0, wait: async () => {} };
    const received = Promise.withResolvers<void>();
    const client = await makeClient(
      () => {},
      (socket) => {
        for (let i = 0; i < 10_100; i++) socket.send(started(`c${i}`));
        socket.send(started('last'));
        // Its pong comes after all that was sent before it has been read.
        socket.once('pong', () => received.resolve());
        socket.ping();
      },
    );
    const abort = new AbortController();
    const seen: string[] = [];
    for await (const event of watchEvents(client, server, clock, abort.signal)) {
      seen.push(event.kind === 'reset' ? 'reset' : event.name);
      if (seen.length === 1) await received.promise;
      if (seen.at(-1) === 'last') abort.abort();
    }
    assert.equal(seen.filter((one) => one === 'reset').length, 2);
    assert.ok(seen.length < 1_000);
  });
});

void describe('a command', () => {
  void it('that has ended is over, also when a socket never says so', async () => {
    const fds = { control: 'c', 0: 'in', 1: 'out', 2: 'err' };
    const begun = { ...OPERATION, metadata: { ...OPERATION.metadata, metadata: { fds } } };
    const ended = { type: 'sync', metadata: { ...OPERATION.metadata, status_code: 200, metadata: { return: 3 } } };
    const client = await makeClient(
      (request, response) => reply(response, request.url?.includes('/wait') ? ended : begun),
      (socket, { url }) => {
        if (!url?.includes('secret=out')) return;
        socket.send(Buffer.from('all of it'));
        socket.send('');
      },
    );
    const { code, stdout } = await runExec(client, 'a', ['echo'], { timeoutMs: 20_000 });
    assert.deepEqual([code, stdout], [3, 'all of it']);
  });
});
