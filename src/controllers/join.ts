// How a second controller comes: a one-time token for the controller of one server, and in exchange for it, over a connection
// by that server's certificate, what a controller must have: the database's address and the keys of the secrets. The
// authority's key is among those secrets, in the database. Apart from joining as a server, which gives none of this.
import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { Events } from '../platform/events.ts';
import type { Store } from '../platform/store.ts';
import { type AuthorityParts, readTrust } from '../servers/authority.ts';
import { readMadeCluster } from '../servers/join.ts';
import { readServer } from '../servers/store.ts';
import { controllerProblems } from './problems.ts';
import { listControllers, lockControllerToken, storeControllerToken, storeControllerTokenUse } from './store.ts';

export const TOKEN_MINUTES = 15;
const MINUTE_MS = 60_000;

export interface ControllersParts extends AuthorityParts {
  store: Store;
  events: Events;
  deployment: string;
  /** ESPALIER_DATABASE_URL; undefined with PGlite. */
  databaseUrl: string | undefined;
  /** This controller. */
  id: string;
  /** The text of the key file. */
  readKeys(): Promise<string>;
}

export const controllerJoinSchema = z.object({ secret: z.string().min(20).max(200) });

/** What a controller must have. Never logged. */
export interface ControllerEquipment {
  deployment: string;
  databaseUrl: string;
  keys: string;
}

const hash = (secret: string): string => createHash('sha256').update(secret).digest('hex');

/** Names that mean another machine on each machine. */
const HERE = /^(localhost|127\.[\d.]+|\[?::1\]?|)$/;

/** The database's address; throws when no other server could use it. */
function readSharedUrl(url: string | undefined): string {
  if (url === undefined) throw controllerProblems.make('needs-postgresql', {});
  const { hostname, searchParams } = new URL(url);
  const host = searchParams.get('host') ?? hostname;
  if (HERE.test(host) || host.startsWith('/'))
    throw controllerProblems.make('database-here-only', { host: host || 'no host' });
  return url;
}

/** Makes a token for the controller of a server. Its text tells also where the leader is and how to know it. */
export async function makeControllerToken(
  parts: ControllersParts,
  wish: { server: string; by: string },
): Promise<{ token: string; expiresAtMs: number }> {
  const { store, events } = parts;
  readSharedUrl(parts.databaseUrl);
  const { address, port } = await readMadeCluster(store);
  const own = (await listControllers(store)).find(({ id }) => id === parts.id);
  const { fingerprint } = await readTrust(parts);
  const secret = randomBytes(24).toString('base64url');
  const id = `c${randomBytes(5).toString('hex')}`;
  const expiresInMs = TOKEN_MINUTES * MINUTE_MS;
  await store.transaction(async (sql) => {
    const server = await readServer(sql, wish.server);
    if (server === undefined)
      throw controllerProblems.make('not-a-server', { server: wish.server, why: 'the cluster has no such server' });
    if (server.state !== 'ready')
      throw controllerProblems.make('not-a-server', { server: wish.server, why: `it is ${server.state}` });
    if ((await listControllers(sql)).some(({ name }) => name === wish.server))
      throw controllerProblems.make('there-already', { server: wish.server });
    await storeControllerToken(sql, { id, hash: hash(secret), ...wish, expiresInMs });
    const subject = `controller:${wish.server}`;
    await events.append(sql, { kind: 'controller.invited', subject, by: wish.by });
  });
  const where = `${own?.address ?? address}:${own?.port ?? port}`;
  const text = Buffer.from(JSON.stringify([where, fingerprint, secret, parts.deployment])).toString('base64url');
  return { token: `esc_${text}`, expiresAtMs: parts.nowMs() + expiresInMs };
}

/** Gives a server's controller what it must have, once; `server`: whose certificate was shown. */
export async function equipController(
  parts: ControllersParts,
  asked: { server: string; secret: string },
): Promise<ControllerEquipment> {
  const { store, events, deployment } = parts;
  const databaseUrl = readSharedUrl(parts.databaseUrl);
  const keys = await parts.readKeys();
  await store.transaction(async (sql) => {
    const token = await lockControllerToken(sql, hash(asked.secret));
    const why =
      token === undefined
        ? 'the controller knows no such token'
        : token.server !== asked.server
          ? `it is for ${token.server}, and this is ${asked.server}`
          : token.used
            ? 'it was used already'
            : token.expired
              ? 'its time is over'
              : undefined;
    if (token === undefined || why !== undefined) throw controllerProblems.make('token-unknown', { why: why ?? '' });
    await storeControllerTokenUse(sql, token.id);
    await events.append(sql, {
      ...{ kind: 'controller.equipped', subject: `controller:${asked.server}`, by: `controller-token:${token.id}` },
      reason: 'it was given the address of the database and the keys of the secrets',
    });
  });
  return { deployment, databaseUrl, keys };
}
