// Who this server is towards the controller: key and certificate, and their renewal long before they end. Apart from the
// connection, which only shows them.
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import type { ConnectionOptions } from 'node:tls';
import type { Clock } from '../lib/clock.ts';
import { readIdentity, type ServerIdentity, writeIdentity } from '../lib/identity-file.ts';
import type { Logger } from '../lib/log.ts';
import type { ControllerContract } from '../protocol/contract.ts';
import type { Peer } from '../protocol/peer.ts';
import { protocolProblems } from '../protocol/problems.ts';

/** The name in the controller's certificate; its address may change. */
const CONTROLLER_NAME = 'espalier controller';
const RENEW_TIMEOUT_MS = 20_000;

export interface Identity {
  /** What a connection shows, and whom it believes. */
  toTls(): ConnectionOptions;
  /** Asks for the next certificate, with a new key, when a third of this one's time is left. True when it did. */
  renewWhenDue(controller: Peer<ControllerContract>, signal: AbortSignal): Promise<boolean>;
}

const makePair = () =>
  generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });

/**
 * An agent beside a controller is let in by its socket. So that it can go to another one too, it asks for a certificate over that
 * socket, once; undefined when the controller gives none.
 */
export async function obtainIdentity(
  parts: { file: string; clock: Clock; log: Logger },
  controller: Peer<ControllerContract>,
  signal: AbortSignal,
): Promise<Identity | undefined> {
  const { publicKey, privateKey } = makePair();
  const call = { timeoutMs: RENEW_TIMEOUT_MS, signal };
  const { certificate, authority } = await controller.call('certificate.renew', { publicKey }, call);
  if (authority === undefined) return undefined;
  await writeIdentity(parts.file, { key: privateKey, certificate, authority });
  return await openIdentity(parts);
}

/** Two thirds of a certificate's time are over. */
export function isDue(certificate: string, nowMs: number): boolean {
  const { validFromDate, validToDate } = new X509Certificate(certificate);
  const [from, to] = [validFromDate.getTime(), validToDate.getTime()];
  return nowMs > from + ((to - from) * 2) / 3;
}

/** Opens the file; throws `protocol.no-identity` when it is not there or not whole. */
export async function openIdentity(parts: { file: string; clock: Clock; log: Logger }): Promise<Identity> {
  const { file, clock, log } = parts;
  const found = await readIdentity(file);
  if (found === undefined) throw protocolProblems.make('no-identity', { file });
  let current: ServerIdentity = found;
  return {
    toTls: () => ({
      ...{ key: current.key, cert: current.certificate, ca: current.authority, minVersion: 'TLSv1.3' },
      checkServerIdentity: (_, { subject }) =>
        subject.CN === CONTROLLER_NAME ? undefined : new Error(`${String(subject.CN)} is not the controller`),
    }),
    async renewWhenDue(controller, signal) {
      if (!isDue(current.certificate, clock.nowMs())) return false;
      const pair = makePair();
      const asked = { publicKey: pair.publicKey };
      const { certificate } = await controller.call('certificate.renew', asked, {
        timeoutMs: RENEW_TIMEOUT_MS,
        signal,
      });
      current = { ...current, key: pair.privateKey, certificate };
      await writeIdentity(file, current);
      log.info({}, 'the certificate was renewed');
      return true;
    },
  };
}
