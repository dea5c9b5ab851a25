// Tests of the sockets: mode and staleness of the Unix socket, the TLS port with its certificate, agents' WebSockets.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type WebSocket, WebSocket as WebSocketClient } from 'ws';
import { Problem } from '../lib/errors.ts';
import { makeSilentLogger } from '../lib/log.ts';
import { type Application, type ServerOptions, serveApi } from './server.ts';
import { renderCertificateCommand } from './tls.ts';

const api: Application = {
  fetch: async (request, { transport }) => Response.json({ transport, body: await request.text() }),
};

async function serveIn(
  t: TestContext,
  more: Omit<ServerOptions, 'socketPath'> = {},
  acceptAgent = (_: WebSocket) => {},
) {
  const dir = await mkdtemp(join(tmpdir(), 'espalier-api-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const socketPath = join(dir, 'controller.sock');
  const start = (options = more) =>
    serveApi({ api, acceptAgent, options: { socketPath, ...options }, log: makeSilentLogger() });
  return { dir, socketPath, start };
}

async function textOf(request: ReturnType<typeof httpRequest>): Promise<string> {
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const chunks: string[] = [];
  for await (const chunk of response.setEncoding('utf8')) chunks.push(String(chunk));
  return chunks.join('');
}

void test('the Unix socket is for root alone, is refused to a second controller, and goes away at the end', async (t) => {
  const { socketPath, start } = await serveIn(t);
  const server = await start();
  assert.equal((await stat(socketPath)).mode & 0o777, 0o600);
  assert.equal(await textOf(httpRequest({ socketPath, path: '/v1/x' })), '{"transport":"local","body":""}');
  await assert.rejects(start(), (thrown) => thrown instanceof Problem && /another controller/.test(thrown.message));
  await server.close();
  await assert.rejects(stat(socketPath), { code: 'ENOENT' });
});

void test('a body arrives through the socket', async (t) => {
  const { socketPath, start } = await serveIn(t);
  const server = await start();
  const send = async (body: string, headers: Record<string, string>) => {
    const request = httpRequest({ socketPath, path: '/v1/x', method: 'POST', headers });
    request.write(body);
    return await textOf(request);
  };
  assert.equal(await send('{"a":1}', { 'content-length': '7' }), '{"transport":"local","body":"{\\"a\\":1}"}');
  await server.close();
});

void test('a socket left behind by a killed controller is replaced, a plain file in its place is not', async (t) => {
  const { socketPath, start } = await serveIn(t);
  const { spawnSync } = await import('node:child_process');
  const listen = `require('node:net').createServer().listen(${JSON.stringify(socketPath)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', listen]);
  assert.ok((await stat(socketPath)).isSocket());
  const server = await start();
  await server.close();
  await writeFile(socketPath, 'precious');
  await assert.rejects(start(), (thrown) => thrown instanceof Problem && /is no socket/.test(thrown.message));
  assert.equal(await readFile(socketPath, 'utf8'), 'precious');
});

void test('the TLS port serves with a certificate that a client can pin, the same after a restart', async (t) => {
  const names = ['localhost', '127.0.0.1'];
  const { dir, start } = await serveIn(t);
  const tls = { host: '127.0.0.1', port: 0, dir: join(dir, 'tls'), names };
  const server = await start({ tls });
  const ca = await readFile(join(dir, 'tls', 'server.crt'), 'utf8');
  assert.equal((await stat(join(dir, 'tls', 'server.key'))).mode & 0o777, 0o600);
  const ask = (port = 0) => textOf(httpsRequest({ host: 'localhost', port, path: '/v1/x', ca, agent: false }));
  assert.equal(await ask(server.tlsPort), '{"transport":"remote","body":""}');
  await server.close();
  const again = await start({ tls });
  assert.equal(await ask(again.tlsPort), '{"transport":"remote","body":""}');
  await again.close();
});

void test('the certificate command names hosts and addresses apart', () => {
  assert.deepEqual(renderCertificateCommand('/k', '/c', ['a.example', '10.0.0.1', '::1']).slice(12), [
    '/CN=a.example',
    '-addext',
    'subjectAltName=DNS:a.example,IP:10.0.0.1,IP:::1',
    '-addext',
    'extendedKeyUsage=serverAuth',
    '-keyout',
    '/k',
    '-out',
    '/c',
  ]);
});

void test('an agent is handed over on its path only', async (t) => {
  const accepted = Promise.withResolvers<WebSocket>();
  const { socketPath, start } = await serveIn(t, {}, accepted.resolve);
  const server = await start();
  const lost = new WebSocketClient(`ws+unix://${socketPath}:/v1/other`);
  const [refusal] = (await once(lost, 'error')) as [Error];
  assert.match(refusal.message, /404/);
  const agent = new WebSocketClient(`ws+unix://${socketPath}:/v1/agent`);
  const socket = await accepted.promise;
  const said = once(agent, 'message');
  socket.send('welcome');
  assert.equal(String((await said)[0]), 'welcome');
  const closed = once(agent, 'close');
  await server.close();
  await closed;
});
