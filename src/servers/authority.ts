// The deployment's own authority: it certifies the controller and the agents to each other. Its key lies encrypted in the
// store and leaves it only to sign. Apart from joining, which decides who is certified.
import { X509Certificate } from 'node:crypto';
import { fingerprintOf, type Identity, makeKeyPair, renderCertificate } from '../platform/certificates.ts';
import type { Secrets } from '../platform/secrets.ts';
import type { Sql, Store } from '../platform/store.ts';
import { storeCertificate } from './cluster-store.ts';

const KEY = 'authority/key';
const CERTIFICATE = 'authority/certificate';
const NAME = 'espalier authority';
/** The name in the controller's certificate, for which agents look. */
export const CONTROLLER_NAME = 'espalier controller';
const DAY_MS = 86_400_000;
/** The authority's and the controller's: made anew with each cluster, and at each start. */
const LONG_MS = 3650 * DAY_MS;
/** An agent's; it asks for the next after two thirds of it. */
export const AGENT_LIFE_MS = 30 * DAY_MS;
/** Clocks of the servers differ. */
const EARLY_MS = 3_600_000;

export interface AuthorityParts {
  store: Store;
  secrets: Secrets;
  nowMs(): number;
}

/** The authority's own certificate and key; made when there is none yet, in the caller's transaction. */
async function readAuthority({ secrets, nowMs }: AuthorityParts, sql: Sql): Promise<Identity> {
  const { [KEY]: key, [CERTIFICATE]: certificate } = await secrets.readAll(sql, 'authority/');
  if (key !== undefined && certificate !== undefined) return { key, certificate };
  const pair = makeKeyPair();
  const made = renderCertificate(
    {
      ...{ name: NAME, publicKey: pair.publicKey, role: 'authority' },
      ...{ notBeforeMs: nowMs() - EARLY_MS, notAfterMs: nowMs() + LONG_MS },
    },
    { name: NAME, key: pair.key },
  );
  await secrets.put(sql, KEY, pair.key);
  await secrets.put(sql, CERTIFICATE, made);
  return { key: pair.key, certificate: made };
}

/** The certificate that all servers trust, PEM, and what it is known by in tokens: SHA-256, hexadecimal. */
export async function readTrust(parts: AuthorityParts): Promise<{ certificate: string; fingerprint: string }> {
  const { certificate } = await parts.store.transaction((sql) => readAuthority(parts, sql));
  const fingerprint = new X509Certificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase();
  return { certificate, fingerprint };
}

/**
 * What a controller shows: a key and a certificate that live as long as its process. As a `controller` to agents, which come to
 * it; as an `agent` of the controllers' own name to the controller that leads, to which it comes.
 */
export async function makeControllerIdentity(
  parts: AuthorityParts,
  role: 'controller' | 'agent' = 'controller',
): Promise<Identity & { authority: string }> {
  const authority = await parts.store.transaction((sql) => readAuthority(parts, sql));
  const pair = makeKeyPair();
  const certificate = renderCertificate(
    {
      ...{ name: CONTROLLER_NAME, publicKey: pair.publicKey, role },
      ...{ notBeforeMs: parts.nowMs() - EARLY_MS, notAfterMs: parts.nowMs() + LONG_MS },
    },
    { name: NAME, key: authority.key },
  );
  return { key: pair.key, certificate, authority: authority.certificate };
}

/** Certifies a server's key and remembers it; PEM. */
export async function certifyServer(
  parts: AuthorityParts,
  sql: Sql,
  { server, publicKey }: { server: string; publicKey: string },
): Promise<string> {
  const authority = await readAuthority(parts, sql);
  const notAfterMs = parts.nowMs() + AGENT_LIFE_MS;
  await storeCertificate(sql, { fingerprint: fingerprintOf(publicKey), server, expiresAtMs: notAfterMs });
  return renderCertificate(
    { name: server, publicKey, role: 'agent', notBeforeMs: parts.nowMs() - EARLY_MS, notAfterMs },
    { name: NAME, key: authority.key },
  );
}
