import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { type CertificateWish, fingerprintOf, makeKeyPair, renderCertificate } from './certificates.ts';

const HOUR_MS = 3_600_000;
const NOW = Date.now();
const life = { notBeforeMs: NOW - HOUR_MS, notAfterMs: NOW + HOUR_MS };

function makeAuthority(name = 'try') {
  const pair = makeKeyPair();
  const certificate = renderCertificate(
    { name, publicKey: pair.publicKey, role: 'authority', ...life },
    { name, key: pair.key },
  );
  const issue = (wish: Pick<CertificateWish, 'name' | 'role'> & Partial<CertificateWish>) => {
    const own = makeKeyPair();
    return {
      key: own.key,
      certificate: renderCertificate({ publicKey: own.publicKey, ...life, ...wish }, { name, key: pair.key }),
    };
  };
  return { certificate, issue };
}

test('a certificate says whom it is for, who signed it, from when to when, and what for', () => {
  const { certificate, issue } = makeAuthority();
  const authority = new X509Certificate(certificate);
  const agent = new X509Certificate(issue({ name: 's2', role: 'agent' }).certificate);
  assert.equal(agent.subject, 'CN=s2');
  assert.equal(agent.issuer, 'CN=try');
  assert.deepEqual([authority.ca, agent.ca], [true, false]);
  assert.ok(agent.checkIssued(authority) && agent.verify(authority.publicKey));
  assert.equal(Math.floor(life.notAfterMs / 1000), agent.validToDate.getTime() / 1000);
  assert.deepEqual(agent.keyUsage, ['1.3.6.1.5.5.7.3.2']);
});

test('a certificate may end after 2049, when the format of its time changes', () => {
  const late = Date.UTC(2051, 0, 2, 3, 4, 5);
  const { certificate } = makeAuthority().issue({ name: 'late', role: 'agent', notAfterMs: late });
  assert.equal(new X509Certificate(certificate).validToDate.getTime(), late);
});

test('a key is known by a fingerprint, and what is no key of ours has none', () => {
  const { publicKey } = makeKeyPair();
  assert.match(fingerprintOf(publicKey), /^[0-9a-f]{64}$/);
  assert.throws(() => fingerprintOf('-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n'));
});

test('TLS takes both sides of one authority, and neither a stranger nor one whose time is over', async () => {
  const ours = makeAuthority();
  const served = ours.issue({ name: 'controller', role: 'controller' });
  const server = createServer({
    ...{ key: served.key, cert: served.certificate, ca: ours.certificate },
    ...{ requestCert: true, rejectUnauthorized: false },
  });
  const authorized: boolean[] = [];
  server.on('secureConnection', (socket: TLSSocket) => {
    authorized.push(socket.authorized);
    socket.end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as { port: number };
  const clients = [
    ours.issue({ name: 's1', role: 'agent' }),
    makeAuthority().issue({ name: 's1', role: 'agent' }),
    ours.issue({ name: 's1', role: 'agent', notAfterMs: NOW - HOUR_MS / 2 }),
    // What is for serving is not for asking.
    ours.issue({ name: 's1', role: 'controller' }),
  ];
  for (const { key, certificate } of clients) {
    const socket = connect({
      ...{ host: '127.0.0.1', port, ca: ours.certificate, key, cert: certificate },
      checkServerIdentity: () => undefined,
    });
    await once(socket.resume(), 'close');
  }
  server.close();
  assert.deepEqual(authorized, [true, false, false, false]);
});
