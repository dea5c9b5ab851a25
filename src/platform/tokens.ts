// Access tokens of people and programs: shown once, stored as a hash, with scopes and an end. Apart from the API, which
// asks here who a token is.
import { createHash, randomBytes } from 'node:crypto';
import { commonProblems } from '../lib/errors.ts';
import type { Scope } from './http.ts';
import type { Sql } from './store.ts';

export interface Token {
  id: string;
  /** For people, and for `by`: `token:NAME`. */
  name: string;
  scopes: Scope[];
  by: string;
  createdAt: string;
  expiresAt: string;
  revokedAt: string | null;
  revokedBy: string | null;
  /** To the minute. */
  lastUsedAt: string | null;
}

export interface NewToken {
  name: string;
  scopes: readonly Scope[];
  /** At most two years. */
  expiresInMs: number;
  by: string;
}

const LONGEST_MS = 2 * 366 * 86_400_000;
const COLUMNS = `id, name, scopes, by, created_at as "createdAt", expires_at as "expiresAt", revoked_at as "revokedAt",
  revoked_by as "revokedBy", last_used_at as "lastUsedAt"`;

// A plain hash is enough: 256 random bits cannot be guessed from it, and looking it up gives nothing away by its time.
function hash(plaintext: string): string {
  return createHash('sha256').update(plaintext).digest('hex');
}

/** Makes a token. `plaintext` (`esp_` and 43 letters) is nowhere else. Throws `common.invalid-input`. */
export async function makeToken(
  sql: Sql,
  { name, scopes, expiresInMs, by }: NewToken,
): Promise<Token & { plaintext: string }> {
  if (!(expiresInMs > 0 && expiresInMs <= LONGEST_MS)) {
    throw commonProblems.make('invalid-input', { where: 'expiresInMs', why: 'a token ends within two years' });
  }
  if (scopes.length === 0)
    throw commonProblems.make('invalid-input', { where: 'scopes', why: 'a token needs a scope' });
  const plaintext = `esp_${randomBytes(32).toString('base64url')}`;
  const [token] = await sql.query<Token>(
    `insert into token (id, name, hash, scopes, by, expires_at)
     values ($1, $2, $3, $4, $5, now() + $6 * interval '1 millisecond') returning ${COLUMNS}`,
    [`t${randomBytes(5).toString('hex')}`, name, hash(plaintext), scopes, by, expiresInMs],
  );
  if (token === undefined) throw new Error('the insert of a token returned no row');
  return { ...token, plaintext };
}

/** Whose token this is; undefined when it is unknown, expired or revoked. */
export async function verifyToken(sql: Sql, plaintext: string): Promise<Token | undefined> {
  const [token] = await sql.query<Token & { stale: boolean }>(
    `select ${COLUMNS}, coalesce(last_used_at < now() - interval '1 minute', true) as stale
     from token where hash = $1 and revoked_at is null and expires_at > now()`,
    [hash(plaintext)],
  );
  if (token === undefined) return undefined;
  const { stale, ...found } = token;
  if (stale) await sql.query('update token set last_used_at = now() where id = $1', [found.id]);
  return found;
}

/** From now on it is refused. A second time changes nothing. Throws `common.not-found`. */
export async function revokeToken(sql: Sql, id: string, by: string): Promise<Token> {
  const [token] = await sql.query<Token>(
    `update token set revoked_by = coalesce(revoked_by, $2), revoked_at = coalesce(revoked_at, now())
     where id = $1 returning ${COLUMNS}`,
    [id, by],
  );
  if (token === undefined) throw commonProblems.make('not-found', { noun: 'token', name: id });
  return token;
}

/** All tokens that have not ended, newest first, and the ended ones of the last 30 days. */
export async function listTokens(sql: Sql): Promise<Token[]> {
  return await sql.query<Token>(
    `select ${COLUMNS} from token
     where least(expires_at, coalesce(revoked_at, expires_at)) > now() - interval '30 days' order by created_at desc`,
  );
}
