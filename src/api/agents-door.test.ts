import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { test } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { WebSocket } from 'ws';
import { makeSystemClock } from '../lib/clock.ts';
import { makeSilentLogger } from '../lib/log.ts';
import { fingerprintOf, makeKeyPair, renderCertificate } from '../platform/certificates.ts';
import { serverProblems } from '../servers/problems.ts';
import { makeAgentsDoor } from './agents-door.ts';

const HOUR_MS = 3_600_000;
const life = { notBeforeMs: Date.now() - HOUR_MS, notAfterMs: Date.now() + HOUR_MS };

function makeAuthority() {
  const own = makeKeyPair();
  const issuer = { name: 'authority', key: own.key };
  const authority = renderCertificate(
    { name: 'authority', publicKey: own.publicKey, role: 'authority', ...life },
    issuer,
  );
  const issue = (name: string, role: 'agent' | 'controller') => {
    const { key, publicKey } = makeKeyPair();
    return { key, publicKey, certificate: renderCertificate({ name, publicKey, role, ...life }, issuer) };
  };
  return { authority, issue };
}

async function openDoor(certified: (fingerprint: string) => string | undefined) {
  const ours = makeAuthority();
  const accepted: string[] = [];
  const door = makeAgentsDoor({
    admit: () => Promise.reject(serverProblems.make('join-token-unknown', {})),
    readCertified: async (fingerprint) => certified(fingerprint),
    readState: async (server) => ({ state: 'ready', reason: server }),
    equip: ({ server }) => Promise.reject(serverProblems.make('name-taken', { server })),
    forwarded: (request, response) => response.end(`handed on ${request.url}`),
    accept: (_, server) => accepted.push(server),
    clock: makeSystemClock(),
    log: makeSilentLogger(),
  });
  await door.open({ port: 0, authority: ours.authority, ...ours.issue('controller', 'controller') });
  return { ...ours, door, accepted, port: door.port() ?? 0 };
}

type Shown = { key: string; certificate: string } | undefined;
const tlsOf = (authority: string, shown: Shown): ConnectionOptions => ({
  ...{ ca: authority, checkServerIdentity: () => undefined },
  ...(shown === undefined ? {} : { key: shown.key, cert: shown.certificate }),
});

/** What the door answers to an agent that comes: `open`, or the reason. */
async function knock(port: number, authority: string, shown: Shown): Promise<string> {
  const socket = new WebSocket(`wss://127.0.0.1:${port}/v1/agent`, tlsOf(authority, shown));
  const outcome = Promise.withResolvers<string>();
  socket.once('open', () => outcome.resolve('open'));
  socket.once('unexpected-response', (_, response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
    response.once('end', () => outcome.resolve((JSON.parse(text) as { detail: string }).detail));
  });
  socket.on('error', () => undefined);
  const answer = await outcome.promise;
  socket.terminate();
  return answer;
}

test('an agent is let in with a certificate that counts, and told why with any other', async () => {
  const counts = new Set<string>();
  const { door, port, authority, issue, accepted } = await openDoor((print) => (counts.has(print) ? 's2' : undefined));
  const agent = issue('s2', 'agent');
  counts.add(fingerprintOf(agent.publicKey));
  assert.equal(await knock(port, authority, agent), 'open');
  assert.deepEqual(accepted, ['s2']);
  assert.match(await knock(port, authority, undefined), /it shows no certificate/);
  const stranger = makeAuthority().issue('s2', 'agent');
  assert.match(await knock(port, authority, stranger), /not one of this deployment/);
  counts.clear();
  assert.match(await knock(port, authority, agent), /it was revoked/);
  assert.deepEqual(accepted, ['s2']);
  await door.close();
});

test('the door answers joining machines with the reason, and nothing else', async () => {
  const { door, port, authority } = await openDoor(() => undefined);
  const ask = async (method: string, path: string, body = '') => {
    const asked = request({ ...{ host: '127.0.0.1', port, method, path }, ...tlsOf(authority, undefined) });
    asked.end(body);
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    let text = '';
    for await (const piece of response.setEncoding('utf8')) text += String(piece);
    return [response.statusCode, (JSON.parse(text) as { code: string }).code];
  };
  const machine = {
    secret: 'x'.repeat(24),
    name: 's2',
    address: '10.0.0.2',
    publicKey: 'k',
    version: '1',
    protocol: 1,
  };
  assert.deepEqual(await ask('POST', '/v1/join', JSON.stringify({ ...machine, clockMs: 1 })), [
    401,
    'server.join-token-unknown',
  ]);
  assert.deepEqual(await ask('POST', '/v1/join', '{'), [400, 'common.invalid-input']);
  assert.deepEqual(await ask('POST', '/v1/join', ' '.repeat(20_000)), [400, 'common.invalid-input']);
  assert.deepEqual(await ask('GET', '/v1/servers'), [404, 'common.not-found']);
  assert.deepEqual(await ask('GET', '/v1/self'), [403, 'server.certificate-refused']);
  await door.close();
});
