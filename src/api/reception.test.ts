// A controller that stands by hands on what it is asked, over real TLS, and says why where it cannot.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeSystemClock } from '../lib/clock.ts';
import { makeSilentLogger } from '../lib/log.ts';
import { makeKeyPair, renderCertificate } from '../platform/certificates.ts';
import { CONTROLLER_NAME } from '../servers/authority.ts';
import { serverProblems } from '../servers/problems.ts';
import { makeAgentsDoor } from './agents-door.ts';
import type { Bindings } from './api.ts';
import { type LeaderAddress, makeForwardedListener, makeReception } from './reception.ts';

const HOUR_MS = 3_600_000;
const life = { notBeforeMs: Date.now() - HOUR_MS, notAfterMs: Date.now() + HOUR_MS };

function makeAuthority() {
  const own = makeKeyPair();
  const issuer = { name: 'authority', key: own.key };
  const wish = { name: 'authority', publicKey: own.publicKey, role: 'authority', ...life } as const;
  return {
    authority: renderCertificate(wish, issuer),
    issue(role: 'controller' | 'agent', name = CONTROLLER_NAME) {
      const { key, publicKey } = makeKeyPair();
      return { key, certificate: renderCertificate({ name, publicKey, role, ...life }, issuer) };
    },
  };
}

/** The leader: answers with what it was asked, and how it was told that this came. */
async function withLeader(
  work: (about: ReturnType<typeof makeAuthority> & { leader: LeaderAddress }) => Promise<void>,
): Promise<void> {
  const ours = makeAuthority();
  const never = () => Promise.reject(serverProblems.make('join-token-unknown', {}));
  const door = makeAgentsDoor({
    ...{ admit: never, equip: never, readState: never, readCertified: async () => undefined },
    accept: () => undefined,
    forwarded: makeForwardedListener(async (request, { transport }) => {
      const { pathname, search } = new URL(request.url);
      const body = await request.text();
      const seen = { method: request.method, path: pathname + search, transport, body };
      return Response.json({ ...seen, token: request.headers.get('authorization') }, { status: 202 });
    }),
    clock: makeSystemClock(),
    log: makeSilentLogger(),
  });
  await door.open({ port: 0, authority: ours.authority, ...ours.issue('controller') });
  try {
    await work({ ...ours, leader: { id: 'c1', name: 's1', address: '127.0.0.1', port: door.port() ?? 0 } });
  } finally {
    await door.close();
  }
}

function standBy(identity: { key: string; certificate: string; authority: string }, leader: LeaderAddress | undefined) {
  return makeReception({
    about: async () => ({ leads: false }),
    name: 's2',
    readLeader: async () => leader,
    readIdentity: async () => identity,
    log: makeSilentLogger(),
  });
}

const ask = (path: string, init?: RequestInit) => new Request(`http://localhost${path}`, init);
const local: Bindings = { transport: 'local' };

test('what it is asked is answered by the leader, who is told how it came', () =>
  withLeader(async ({ authority, issue, leader }) => {
    const reception = standBy({ ...issue('agent'), authority }, leader);
    const posted = await reception.fetch(
      ask('/v1/sites?dryRun=true', { method: 'POST', body: '{"name":"acme"}' }),
      local,
    );
    assert.equal(posted.status, 202);
    assert.deepEqual(await posted.json(), {
      ...{ method: 'POST', path: '/v1/sites?dryRun=true', transport: 'local', body: '{"name":"acme"}', token: null },
    });
    const headers = { authorization: 'Bearer esp_x', 'espalier-transport': 'local' };
    const remote = await reception.fetch(ask('/v1/sites', { headers }), { transport: 'remote' });
    // Who comes with a token cannot say that it came by the socket.
    const { transport, token } = (await remote.json()) as { transport: string; token: string };
    assert.deepEqual([transport, token], ['remote', 'Bearer esp_x']);
    await reception.close();
  }));

test('of itself it tells without the leader, to root', async () => {
  const reception = standBy({ ...makeAuthority().issue('agent'), authority: '' }, undefined);
  assert.deepEqual(await (await reception.fetch(ask('/v1/about'), local)).json(), { leads: false });
  const other = await reception.fetch(ask('/v1/about'), { transport: 'remote' });
  assert.equal(((await other.json()) as { code: string }).code, 'controller.none-leads');
});

test('a server of the deployment is no controller, and neither is one of another deployment', () =>
  withLeader(async ({ authority, issue, leader }) => {
    const server = standBy({ ...issue('agent', 's2'), authority }, leader);
    const answer = await server.fetch(ask('/v1/sites'), local);
    assert.deepEqual([answer.status, ((await answer.json()) as { code: string }).code], [404, 'common.not-found']);
    const other = makeAuthority();
    const stranger = standBy({ ...other.issue('agent'), authority: other.authority }, leader);
    const refused = (await (await stranger.fetch(ask('/v1/sites'), local)).json()) as { code: string };
    assert.equal(refused.code, 'controller.leader-away');
    await Promise.all([server.close(), stranger.close()]);
  }));

test('while it leads it answers itself', async () => {
  const reception = standBy({ ...makeAuthority().issue('agent'), authority: '' }, undefined);
  reception.lead({ fetch: () => new Response('mine'), acceptAgent: () => undefined });
  assert.equal(await (await reception.fetch(ask('/v1/sites'), local)).text(), 'mine');
  reception.standBy();
  const after = (await (await reception.fetch(ask('/v1/sites'), local)).json()) as { code: string };
  assert.equal(after.code, 'controller.none-leads');
});
