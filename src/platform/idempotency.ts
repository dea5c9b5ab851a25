// Remembers the answers to requests that carry an Idempotency-Key, so that a client that asks again gets the same
// answer and nothing happens twice. Apart from the API, which turns requests into keys and hashes.
import { createHash } from 'node:crypto';
import { makeCatalogue } from '../lib/errors.ts';
import { type Json, type Sql, toJsonValue } from './store.ts';

/** One request: the same key by someone else, or for another route, is another request. */
export interface IdempotentRequest {
  key: string;
  /** `POST /v1/sites` */
  route: string;
  who: string;
  /** From `hashRequest`. */
  requestHash: string;
}

/** What is sent again. */
export interface RememberedResponse {
  status: number;
  headers: Record<string, string>;
  body: Json;
}

export const idempotencyProblems = makeCatalogue('idempotency', {
  reused: {
    status: 422,
    title: 'The Idempotency-Key was used for another request',
    detail: (a: { key: string }) => `The key ${a.key} came before with another body.`,
    todo: () => 'Use a new key for a new request.',
  },
  'under-way': {
    status: 409,
    title: 'The same request is under way',
    detail: (a: { key: string }) => `A request with the key ${a.key} has begun and has no answer yet.`,
    todo: () => 'Ask again in a moment with the same key to get its answer.',
    retryable: true,
  },
});

/** A first request without an answer for this long was cut off with its controller; longer than the API's own bound. */
const UNDER_WAY_S = 60;

/** The hash that tells whether two requests are the same. */
export function hashRequest(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}

/**
 * The answer that was remembered, or null for a request that is to be done now. From then until `rememberIdempotent` or
 * `forgetIdempotent`, for a minute at most, the same request elsewhere gets `idempotency.under-way` (409). A known key
 * with another body: `idempotency.reused` (422).
 */
export async function claimIdempotent(sql: Sql, request: IdempotentRequest): Promise<RememberedResponse | null> {
  const { key, route, who, requestHash } = request;
  const [claimed] = await sql.query(
    `insert into remembered_request as known (key, route, who, request_hash) values ($1, $2, $3, $4)
     on conflict (key, route, who) do update set created_at = clock_timestamp()
       where known.request_hash = $4 and known.response is null
         and known.created_at < clock_timestamp() - ${UNDER_WAY_S} * interval '1 second'
     returning 1`,
    [key, route, who, requestHash],
  );
  return claimed === undefined ? await readIdempotent(sql, request) : null;
}

/** The answer that was remembered, or null when there is none. Throws as `claimIdempotent` does. */
export async function readIdempotent(sql: Sql, request: IdempotentRequest): Promise<RememberedResponse | null> {
  const { key, route, who, requestHash } = request;
  const [known] = await sql.query<{ requestHash: string; response: RememberedResponse | null }>(
    `select request_hash as "requestHash", response from remembered_request where key = $1 and route = $2 and who = $3`,
    [key, route, who],
  );
  if (known === undefined) return null;
  if (known.requestHash !== requestHash) throw idempotencyProblems.make('reused', { key });
  if (known.response === null) throw idempotencyProblems.make('under-way', { key });
  return known.response;
}

/** Stores the answer; best in the transaction of what the request did. */
export async function rememberIdempotent(
  sql: Sql,
  request: IdempotentRequest,
  response: RememberedResponse,
): Promise<void> {
  const { key, route, who, requestHash } = request;
  await sql.query(
    `insert into remembered_request (key, route, who, request_hash, response) values ($1, $2, $3, $4, $5)
     on conflict (key, route, who) do update set response = excluded.response`,
    [key, route, who, requestHash, toJsonValue(response)],
  );
}

/** Frees the key of a request that failed and changed nothing, so that it may be tried again. */
export async function forgetIdempotent(sql: Sql, { key, route, who }: IdempotentRequest): Promise<void> {
  await sql.query('delete from remembered_request where key = $1 and route = $2 and who = $3 and response is null', [
    key,
    route,
    who,
  ]);
}

/** Forgets answers older than this; returns how many. */
export async function trimIdempotent(sql: Sql, olderThanMs: number): Promise<number> {
  const trimmed = await sql.query(
    `delete from remembered_request where created_at < clock_timestamp() - $1 * interval '1 millisecond' returning 1`,
    [olderThanMs],
  );
  return trimmed.length;
}
