// X.509 certificates of our own authority (RFC 5280), as small as agents need them: P-256 keys, ECDSA with SHA-256. Written
// out here, so that the authority's key passes from the store to the signature without a file or another program.
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

/** A private key and the certificate of its public half, both PEM. */
export interface Identity {
  key: string;
  certificate: string;
}

export interface CertificateWish {
  /** Its common name. */
  name: string;
  /** SPKI, PEM. */
  publicKey: string;
  /** `authority` signs others; `controller` is served, `agent` is shown by clients. */
  role: 'authority' | 'controller' | 'agent';
  notBeforeMs: number;
  notAfterMs: number;
}

/** A new P-256 key pair, PEM (PKCS #8 and SPKI). */
export function makeKeyPair(): { key: string; publicKey: string } {
  const pair = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return { key: pair.privateKey, publicKey: pair.publicKey };
}

/** What a public key (PEM, or read already) is known by: SHA-256 of its SPKI, hexadecimal. Throws for what is no P-256 key. */
export function fingerprintOf(publicKey: string | KeyObject): string {
  const key = typeof publicKey === 'string' ? createPublicKey(publicKey) : publicKey;
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('not a P-256 key');
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

// ---- DER (X.690): tag, length, content ----

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  time: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const sequence = (...parts: Uint8Array[]): Buffer => der(TAG.sequence, ...parts);
const bits = (content: Uint8Array): Buffer => der(TAG.bits, Buffer.from([0]), content);
const explicit = (number: number, content: Uint8Array): Buffer => der(0xa0 + number, content);

/** Arcs of one byte, and of two in base 128. */
function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const toArc = (value: number): number[] => {
    const low = [value & 0x7f];
    for (let high = value >> 7; high > 0; high >>= 7) low.unshift(0x80 | (high & 0x7f));
    return low;
  };
  return der(TAG.oid, Buffer.from([first * 40 + second, ...rest.flatMap(toArc)]));
}

/** To the second. */
function time(ms: number): Buffer {
  const text = new Date(ms)
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:T]/g, '');
  // RFC 5280, 4.1.2.5: two digits of the year before 2050.
  return Number(text.slice(0, 4)) < 2050
    ? der(0x17, Buffer.from(text.slice(2), 'latin1'))
    : der(TAG.time, Buffer.from(text, 'latin1'));
}

const name = (common: string): Buffer =>
  sequence(der(TAG.set, sequence(oid('2.5.4.3'), der(TAG.utf8, Buffer.from(common, 'utf8')))));

const ECDSA_WITH_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));
const TRUE = der(TAG.boolean, Buffer.from([0xff]));

function extensions(role: CertificateWish['role']): Buffer {
  const extension = (id: string, content: Uint8Array) => sequence(oid(id), TRUE, der(TAG.octets, content));
  const usage = (bit: number, unused: number) => der(TAG.bits, Buffer.from([unused, bit]));
  const constraints = extension('2.5.29.19', sequence(...(role === 'authority' ? [TRUE] : [])));
  // keyCertSign is bit 5, digitalSignature bit 0.
  if (role === 'authority') return sequence(constraints, extension('2.5.29.15', usage(0x04, 2)));
  const purpose = role === 'controller' ? '1.3.6.1.5.5.7.3.1' : '1.3.6.1.5.5.7.3.2';
  return sequence(
    constraints,
    extension('2.5.29.15', usage(0x80, 7)),
    sequence(oid('2.5.29.37'), der(TAG.octets, sequence(oid(purpose)))),
  );
}

/** A certificate signed with the issuer's key; PEM. */
export function renderCertificate(wish: CertificateWish, issuer: { name: string; key: string }): string {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const signed = sequence(
    explicit(0, der(TAG.integer, Buffer.from([2]))),
    der(TAG.integer, serial),
    ECDSA_WITH_SHA256,
    name(issuer.name),
    sequence(time(wish.notBeforeMs), time(wish.notAfterMs)),
    name(wish.name),
    createPublicKey(wish.publicKey).export({ type: 'spki', format: 'der' }),
    explicit(3, extensions(wish.role)),
  );
  const whole = sequence(signed, ECDSA_WITH_SHA256, bits(sign('sha256', signed, issuer.key)));
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
