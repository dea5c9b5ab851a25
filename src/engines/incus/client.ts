// The line to Incus: requests over its Unix socket, waiting for its operations, websockets. Apart from what is
// asked, so that every call has a bound, an abort and one mapping of failures.
//
// An operation's answer is 202 with a URL. `/wait` answers with the outcome in its body; when the operation failed, some
// releases (6.0.4) answer with an error that is the operation's own, its code included. A finished operation vanishes
// after 5 s: so the wait begins at once, and when the operation itself is not found, the caller looks at the thing it
// was about (`isDone`), and never guesses.
import type { Readable } from 'node:stream';
import { type FormData, Pool } from 'undici';
import { WebSocket } from 'ws';
import { Problem } from '../../lib/errors.ts';
import type { CallOptions } from '../fleet.ts';
import { incusProblems, toIncusProblem } from './problems.ts';
import type { WireAnswer, WireOperation } from './wire.ts';

export type Query = Readonly<Record<string, string | undefined>>;

export interface IncusRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Such as `/1.0/instances/web1`; its parts encoded by `toPath`. */
  path: string;
  query?: Query;
  /** What it is about, for a person: `container web1`. */
  what: string;
  /** JSON body. */
  json?: unknown;
  /** Raw body, instead of json. */
  body?: Uint8Array | Blob | FormData | Readable;
  headers?: Readonly<Record<string, string>>;
}

export interface IncusClient {
  readonly project: string;
  /** One request; resolves with its `metadata` and ETag. Not for operations. */
  send<T>(request: IncusRequest, options: CallOptions | undefined): Promise<{ metadata: T; etag: string }>;
  /** As send, but an absent thing is undefined. */
  find<T>(request: IncusRequest, options: CallOptions | undefined): Promise<{ metadata: T; etag: string } | undefined>;
  /** Bytes of an answer that is not JSON, and its header `x-incus-type`. */
  download(
    request: IncusRequest,
    options: CallOptions | undefined,
  ): Promise<{ bytes: Uint8Array; type: string | undefined }>;
  /** As download, while it comes. Whoever leaves off early aborts the signal. */
  downloadPieces(
    request: IncusRequest,
    options: CallOptions | undefined,
  ): Promise<{ pieces: AsyncIterable<Uint8Array>; type: string | undefined }>;
  /** A request that may answer with an operation; resolves when it has succeeded, with the operation's metadata. */
  operate(
    request: IncusRequest,
    options: (CallOptions & { isDone?: (() => Promise<boolean>) | undefined }) | undefined,
  ): Promise<Record<string, unknown>>;
  /** Begins an operation and does not wait. */
  begin(request: IncusRequest, options: CallOptions | undefined): Promise<WireOperation>;
  /** Waits for an operation's end, however it ends. Undefined when the engine has forgotten it. */
  waitFor(operationId: string, what: string, options: CallOptions | undefined): Promise<WireOperation | undefined>;
  /** A websocket that is not yet open. `autoPong` answers the engine's pings; default true. */
  openSocket(path: string, query: Query, options?: { autoPong?: boolean }): WebSocket;
  close(): Promise<void>;
}

/** Default bounds in milliseconds. */
export const READ_TIMEOUT_MS = 10_000;
export const CHANGE_TIMEOUT_MS = 60_000;
export const IMAGE_TIMEOUT_MS = 600_000;

/** Path of encoded parts: `toPath('instances', name)` → `/1.0/instances/…`. */
export function toPath(...parts: readonly string[]): string {
  return `/1.0${parts.map((part) => `/${encodeURIComponent(part)}`).join('')}`;
}

/** Options with a default bound; spread over with what the caller gave. */
export function boundBy(defaultTimeoutMs: number, options: CallOptions | undefined): CallOptions {
  return { signal: options?.signal, timeoutMs: options?.timeoutMs ?? defaultTimeoutMs };
}

function toUrlPath(path: string, project: string, query: Query | undefined): string {
  const parameters = new URLSearchParams({ project });
  for (const [key, value] of Object.entries(query ?? {})) if (value !== undefined) parameters.set(key, value);
  return `${path}?${parameters}`;
}

/** A failure of the connection itself as a problem; a problem and the caller's own abort go through as they are. */
function toConnectionProblem(thrown: unknown, what: string, bound: Bound): unknown {
  if (bound.callerSignal?.aborted) return bound.callerSignal.reason;
  if (bound.signal.aborted) {
    return incusProblems.make('timed-out', { what, why: `${bound.timeoutMs / 1000} s` }, thrown);
  }
  if (thrown instanceof Problem) return thrown;
  const code = (thrown as { code?: string }).code ?? '';
  const why = thrown instanceof Error && thrown.message !== '' ? thrown.message : code;
  if (code === 'EACCES' || code === 'EPERM') return incusProblems.make('no-access', { why }, thrown);
  return incusProblems.make('away', { why: why.replace(/\.$/, '') }, thrown);
}

/** A body's pieces; a connection that breaks off is a problem as anywhere. */
async function* withProblems(body: Readable, what: string, bound: Bound): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of body) yield piece as Uint8Array;
  } catch (thrown) {
    throw toConnectionProblem(thrown, what, bound);
  }
}

interface Bound {
  signal: AbortSignal;
  callerSignal: AbortSignal | undefined;
  timeoutMs: number;
}

function makeBound(options: CallOptions | undefined): Bound {
  const timeoutMs = options?.timeoutMs ?? READ_TIMEOUT_MS;
  const timeout = AbortSignal.timeout(timeoutMs);
  const callerSignal = options?.signal;
  return { signal: callerSignal ? AbortSignal.any([callerSignal, timeout]) : timeout, callerSignal, timeoutMs };
}

/** A client of the Incus at `socketPath`, bound to a project. It connects when first used. */
export function makeIncusClient(place: { socketPath: string; project: string }): IncusClient {
  // Waiting answers late by design, so the bounds are ours (signals) and not the pool's.
  const pool = new Pool('http://incus', { socketPath: place.socketPath, headersTimeout: 0, bodyTimeout: 0 });

  async function call(request: IncusRequest, bound: Bound) {
    const body = request.json === undefined ? request.body : JSON.stringify(request.json);
    return await pool.request({
      method: request.method,
      path: toUrlPath(request.path, place.project, request.query),
      headers: { ...(request.json === undefined ? {} : { 'content-type': 'application/json' }), ...request.headers },
      signal: bound.signal,
      body: (body ?? null) as string | FormData | Readable | null,
    });
  }

  async function ask<T>(request: IncusRequest, bound: Bound): Promise<{ answer: WireAnswer<T>; etag: string }> {
    try {
      const response = await call(request, bound);
      const answer = (await response.body.json()) as WireAnswer<T>;
      if (answer.type === 'error') throw toIncusProblem(request.what, answer.error_code, answer.error);
      return { answer, etag: String(response.headers.etag ?? '') };
    } catch (thrown) {
      throw toConnectionProblem(thrown, request.what, bound);
    }
  }

  async function waitWithin(id: string, what: string, bound: Bound): Promise<WireOperation | undefined> {
    const request: IncusRequest = { method: 'GET', path: `${toPath('operations', id)}/wait`, what };
    try {
      const { body } = await call(request, bound);
      const answer = (await body.json()) as WireAnswer<WireOperation>;
      if (answer.type !== 'error') return answer.metadata;
      if (/^operation .*(?:not found|doesn't exist)/i.test(answer.error)) return undefined;
      return { id, status: 'Failure', status_code: 400, err: answer.error, metadata: null };
    } catch (thrown) {
      throw toConnectionProblem(thrown, what, bound);
    }
  }

  async function send<T>(request: IncusRequest, options: CallOptions | undefined) {
    const { answer, etag } = await ask<T>(request, makeBound(options));
    return { metadata: answer.metadata, etag };
  }

  return {
    project: place.project,
    send,

    async find<T>(request: IncusRequest, options: CallOptions | undefined) {
      try {
        return await send<T>(request, options);
      } catch (thrown) {
        if (thrown instanceof Problem && thrown.code === 'incus.not-found') return undefined;
        throw thrown;
      }
    },

    async download(request, options) {
      const bound = makeBound(options);
      try {
        const response = await call(request, bound);
        if (response.statusCode >= 400) {
          const answer = (await response.body.json()) as WireAnswer<unknown>;
          throw toIncusProblem(request.what, response.statusCode, answer.error);
        }
        const bytes = new Uint8Array(await response.body.arrayBuffer());
        return { bytes, type: response.headers['x-incus-type']?.toString() };
      } catch (thrown) {
        throw toConnectionProblem(thrown, request.what, bound);
      }
    },

    async downloadPieces(request, options) {
      const bound = makeBound(options);
      try {
        const response = await call(request, bound);
        if (response.statusCode < 400)
          return {
            pieces: withProblems(response.body, request.what, bound),
            type: response.headers['x-incus-type']?.toString(),
          };
        const answer = (await response.body.json()) as WireAnswer<unknown>;
        throw toIncusProblem(request.what, response.statusCode, answer.error);
      } catch (thrown) {
        throw toConnectionProblem(thrown, request.what, bound);
      }
    },

    async operate(request, options) {
      const bound = makeBound(boundBy(CHANGE_TIMEOUT_MS, options));
      const { answer } = await ask<WireOperation>(request, bound);
      if (answer.type !== 'async') return {};
      const ended = await waitWithin(answer.metadata.id, request.what, bound);
      if (ended === undefined) {
        if (await options?.isDone?.()) return {};
        throw incusProblems.make('outcome-unknown', { what: request.what });
      }
      if (ended.status_code !== 200) throw toIncusProblem(request.what, 0, ended.err || ended.status);
      return ended.metadata ?? {};
    },

    async begin(request, options) {
      return (await ask<WireOperation>(request, makeBound(options))).answer.metadata;
    },

    async waitFor(operationId, what, options) {
      return await waitWithin(operationId, what, makeBound(options));
    },

    openSocket(path, query, { autoPong = true } = {}) {
      const url = `ws+unix:${place.socketPath}:${toUrlPath(path, place.project, query)}`;
      return new WebSocket(url, { perMessageDeflate: false, skipUTF8Validation: true, autoPong });
    },

    async close() {
      await pool.destroy();
    },
  };
}
