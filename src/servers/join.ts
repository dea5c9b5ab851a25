// How a machine becomes a server: a one-time token, checks that give a reason before anything is changed, a certificate,
// and leave to join the engine's cluster. Everything may be asked again by the same machine until the token's end.
import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { Fleet } from '../engines/fleet.ts';
import { commonProblems } from '../lib/errors.ts';
import { PROTOCOL_VERSION } from '../lib/version.ts';
import { fingerprintOf } from '../platform/certificates.ts';
import type { Events } from '../platform/events.ts';
import type { Sql } from '../platform/store.ts';
import { type AuthorityParts, certifyServer, readTrust } from './authority.ts';
import {
  type ClusterRow,
  lockJoinToken,
  readCertified,
  readCluster,
  storeJoinToken,
  storeTokenUse,
} from './cluster-store.ts';
import { serverLock } from './locks.ts';
import { serverProblems } from './problems.ts';
import { readServer, storeServer } from './store.ts';

/** Leases and the order of events are told by clocks; well-kept ones differ by milliseconds. */
const CLOCK_BOUND_MS = 30_000;

export const joinRequestSchema = z.object({
  secret: z.string().min(20).max(200),
  /** Its host name: under it, it is a member of the cluster. */
  name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/),
  /** Where the other servers reach it. */
  address: z.ipv4(),
  /** Of the key that its agent made, SPKI, PEM. */
  publicKey: z.string().max(2_000),
  version: z.string().max(100),
  protocol: z.int(),
  clockMs: z.number(),
});
export type JoinRequest = z.infer<typeof joinRequestSchema>;

export interface JoinAnswer {
  server: string;
  deployment: string;
  certificate: string;
  authority: string;
  /** What it joins the engine's cluster with; null when it is a member already. */
  engineToken: string | null;
  content: { path: string; id: string } | null;
}

export interface JoinParts extends AuthorityParts {
  deployment: string;
  version: string;
  fleet: Fleet;
  events: Events;
  /** The server whose controller decides now; undefined while there is one server alone. */
  readLeadingServer(sql: Sql): Promise<string | undefined>;
}

const hash = (secret: string): string => createHash('sha256').update(secret).digest('hex');

/** The cluster; throws `server.cluster-not-made`. */
export async function readMadeCluster(sql: Sql): Promise<ClusterRow> {
  const cluster = await readCluster(sql);
  if (cluster === undefined) throw serverProblems.make('cluster-not-made', {});
  return cluster;
}

/** The cluster as it is from the server whose controller leads: others come there while the first is away, or gone. */
export async function readLedCluster(parts: JoinParts, sql: Sql): Promise<ClusterRow> {
  const cluster = await readMadeCluster(sql);
  const leading = (await parts.readLeadingServer(sql)) ?? cluster.server;
  const address = leading === cluster.server ? undefined : (await readServer(sql, leading))?.address;
  return address === undefined ? cluster : { ...cluster, server: leading, address };
}

/**
 * Makes a token. Its text tells a machine where the controller is, by which certificate to know it (so that nobody in
 * between can answer in its place), and the secret, which is nowhere else.
 */
export async function makeJoinToken(
  parts: JoinParts,
  wish: { by: string; expiresInMs: number },
): Promise<{ token: string; expiresAtMs: number }> {
  const { address, port } = await readLedCluster(parts, parts.store);
  const { fingerprint } = await readTrust(parts);
  const secret = randomBytes(24).toString('base64url');
  const id = `j${randomBytes(5).toString('hex')}`;
  await parts.store.transaction(async (sql) => {
    await storeJoinToken(sql, { id, hash: hash(secret), ...wish });
    await parts.events.append(sql, { kind: 'server.invited', subject: `join-token:${id}`, by: wish.by });
  });
  const text = Buffer.from(JSON.stringify([`${address}:${port}`, fingerprint, secret, parts.deployment])).toString(
    'base64url',
  );
  return { token: `esj_${text}`, expiresAtMs: parts.nowMs() + wish.expiresInMs };
}

/** Lets a machine in, or says why not. */
export async function admitServer(parts: JoinParts, request: JoinRequest): Promise<JoinAnswer> {
  const { store, fleet, events } = parts;
  const { name, address } = request;
  let fingerprint: string;
  try {
    fingerprint = fingerprintOf(request.publicKey);
  } catch (thrown) {
    throw commonProblems.make('invalid-input', { where: 'publicKey', why: 'it is no P-256 key in PEM' }, thrown);
  }
  const cluster = await readMadeCluster(store);
  const certificate = await store.transaction(async (sql) => {
    const token = await lockJoinToken(sql, hash(request.secret));
    if (token === undefined) throw serverProblems.make('join-token-unknown', {});
    if (token.keyFingerprint !== null && token.keyFingerprint !== fingerprint)
      throw serverProblems.make('join-token-used', { server: token.server ?? '' });
    if (token.expired) throw serverProblems.make('join-token-expired', {});
    assertFits(parts, request);
    const before = await readServer(sql, name);
    // A machine that joined half way comes again with its key.
    if (before !== undefined && (await readCertified(sql, fingerprint)) !== name)
      throw serverProblems.make('name-taken', { server: name });
    await storeTokenUse(sql, token.id, { fingerprint, server: name });
    if (before === undefined) {
      const reason = 'it was let in by a token; its agent has not been heard yet';
      await storeServer(sql, { name, state: 'joining', reason, address, version: request.version });
      await events.append(sql, {
        kind: 'server.joining',
        subject: serverLock(name),
        by: `join-token:${token.id}`,
        reason,
      });
    }
    return await certifyServer(parts, sql, { server: name, publicKey: request.publicKey });
  });
  const isMember = (await fleet.servers()).some((server) => server.name === name);
  const { contentPath: path, contentId: id } = cluster;
  return {
    server: name,
    deployment: parts.deployment,
    certificate,
    authority: (await readTrust(parts)).certificate,
    engineToken: isMember ? null : await fleet.cluster.makeJoinToken(name),
    content: path === null || id === null ? null : { path, id },
  };
}

/** Version and clock of the machine. */
function assertFits({ version, nowMs }: JoinParts, { name, ...request }: JoinRequest): void {
  if (request.protocol !== PROTOCOL_VERSION || request.version !== version) {
    const told = { agent: `${request.version} (protocol ${request.protocol})` };
    throw serverProblems.make('join-other-version', {
      ...{ server: name, ...told, controller: `${version} (protocol ${PROTOCOL_VERSION})` },
    });
  }
  const aheadMs = request.clockMs - nowMs();
  if (Math.abs(aheadMs) > CLOCK_BOUND_MS)
    throw serverProblems.make('clock-off', { server: name, seconds: Math.round(aheadMs / 1000) });
}
