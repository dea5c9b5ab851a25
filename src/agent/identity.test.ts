import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeSystemClock } from '../lib/clock.ts';
import { readIdentity, writeIdentity } from '../lib/identity-file.ts';
import { makeSilentLogger } from '../lib/log.ts';
import { makeKeyPair, renderCertificate } from '../platform/certificates.ts';
import type { ControllerContract } from '../protocol/contract.ts';
import type { Peer } from '../protocol/peer.ts';
import { isDue, openIdentity } from './identity.ts';

const DAY_MS = 86_400_000;
const NOW = Math.floor(Date.now() / 1000) * 1000;
const authority = makeKeyPair();

/** A certificate for the key that began so many days ago and lasts 30. */
const certify = (publicKey: string, ageDays: number): string =>
  renderCertificate(
    {
      ...{ name: 's2', publicKey, role: 'agent' },
      ...{ notBeforeMs: NOW - ageDays * DAY_MS, notAfterMs: NOW + (30 - ageDays) * DAY_MS },
    },
    { name: 'authority', key: authority.key },
  );

/** A controller that certifies whatever it is asked for. */
function makeController(asked: string[]): Peer<ControllerContract> {
  return {
    call: async (_: string, params: unknown) => {
      const { publicKey } = params as { publicKey: string };
      asked.push(publicKey);
      return { certificate: certify(publicKey, 0) } as never;
    },
    receive: () => undefined,
    disconnected: () => undefined,
  };
}

void test('a certificate is due when two thirds of its time are over', () => {
  const { publicKey } = makeKeyPair();
  assert.equal(isDue(certify(publicKey, 19), NOW), false);
  assert.equal(isDue(certify(publicKey, 21), NOW), true);
});

void test('a certificate that is due is renewed with a new key, which the file and the next connection have', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'espalier-identity-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = join(dir, 'identity.pem');
  const old = makeKeyPair();
  await writeIdentity(file, {
    key: old.key,
    certificate: certify(old.publicKey, 21),
    authority: certify(old.publicKey, 0),
  });
  const identity = await openIdentity({ file, clock: makeSystemClock(), log: makeSilentLogger() });
  const asked: string[] = [];
  const signal = new AbortController().signal;
  assert.equal(await identity.renewWhenDue(makeController(asked), signal), true);
  assert.equal(await identity.renewWhenDue(makeController(asked), signal), false);
  assert.equal(asked.length, 1);
  assert.notEqual(asked[0], old.publicKey);
  const kept = await readIdentity(file);
  assert.equal(kept?.key, identity.toTls().key);
  assert.notEqual(kept?.key, old.key);
});

void test('without its file an agent says that it must join anew', async () => {
  const missing = openIdentity({ file: '/nowhere/identity.pem', clock: makeSystemClock(), log: makeSilentLogger() });
  await assert.rejects(missing, { code: 'protocol.no-identity' });
});
