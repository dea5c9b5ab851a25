// The public HTTP API as the command line uses it: one request, and the live event stream. Apart so that every
// command meets problems and absent controllers in one way. Built on node:http, since it is needed at every start.
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { rootCertificates } from 'node:tls';
import { Problem, type ProblemDocument } from '../lib/errors.ts';
import type { Context } from './context.ts';
import { cliProblems } from './problems.ts';

/** Everything long is an operation, so the API answers soon; its own bound is 30 s. */
const ANSWER_TIMEOUT_MS = 35_000;
/** How OpenSSL names a certificate that leads to no known authority. */
const UNKNOWN_CERTIFICATE: readonly string[] = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
];
/** The stream's heartbeat comes every 15 s; after three missed ones nobody is there. */
const STREAM_SILENCE_MS = 45_000;

export interface ApiRequest {
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  /** Bytes, in the place of `body`. */
  piece?: Uint8Array;
  ifMatch?: string;
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface ApiAnswer<T> {
  status: number;
  body: T;
  etag?: string;
}

/** One event of the stream. */
export interface StreamEvent {
  id: string;
  kind: string;
  /** The event as JSON, parsed. */
  data: unknown;
}

export interface ApiClient {
  /** For messages: the socket's path or the URL. */
  readonly where: string;
  /** Throws the API's problem, `cli.not-reachable`, `cli.unknown-certificate`, `cli.bad-answer`, or the signal's reason. */
  request<T>(method: string, path: string, request?: ApiRequest): Promise<ApiAnswer<T>>;
  /** A file that the API gives, as it comes; its size as told beforehand. */
  download(path: string, signal: AbortSignal): Promise<{ bytes: number; pieces: AsyncIterable<Uint8Array> }>;
  /** Events as they happen, after `lastEventId` or from now on. `onOpen` is called when the stream stands. */
  watch(
    query: Record<string, string | undefined>,
    options: { lastEventId?: string; signal: AbortSignal; onOpen?: () => void },
  ): AsyncIterable<StreamEvent>;
}

function isProblemDocument(value: unknown): value is ProblemDocument {
  return typeof value === 'object' && value !== null && 'code' in value && 'detail' in value && 'todo' in value;
}

/** A client for the context's controller. `reason`: why, for the journal of what is changed. */
export function makeClient(context: Context, reason?: string): ApiClient {
  const { url, token, ca, dataDir } = context;
  const socketPath = join(dataDir, 'controller.sock');
  const where = url ?? socketPath;

  async function send(
    method: string,
    path: string,
    headers: Record<string, string>,
    payload: string | Uint8Array | undefined,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const options = {
      method,
      signal,
      headers: {
        ...headers,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(payload === undefined ? {} : { 'content-length': String(Buffer.byteLength(payload)) }),
      },
    };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    try {
      const request =
        url === undefined
          ? httpRequest({ ...options, socketPath, path, agent: false })
          : url.startsWith('http:')
            ? httpRequest(new URL(path, url), options)
            : httpsRequest(new URL(path, url), {
                ...options,
                ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }),
              });
      request.once('response', resolve);
      request.once('error', reject);
      request.end(payload);
      return await promise;
    } catch (thrown) {
      if (signal.aborted) throw signal.reason;
      const { code, message } = thrown as NodeJS.ErrnoException;
      const why = code ?? message;
      const problem = UNKNOWN_CERTIFICATE.includes(why) ? 'unknown-certificate' : 'not-reachable';
      throw cliProblems.make(problem, { where, why }, thrown);
    }
  }

  async function readText(response: IncomingMessage): Promise<string> {
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) text += String(chunk);
    return text;
  }

  /** Reads the body; anything but success becomes the problem it carries. */
  async function readAnswer(response: IncomingMessage): Promise<unknown> {
    const status = response.statusCode ?? 0;
    let body: unknown;
    try {
      const text = await readText(response);
      body = text === '' ? null : JSON.parse(text);
    } catch (thrown) {
      throw cliProblems.make('bad-answer', { where, status }, thrown);
    }
    if (status >= 200 && status < 300) return body;
    throw isProblemDocument(body) ? new Problem(body) : cliProblems.make('bad-answer', { where, status });
  }

  return {
    where,
    async request<T>(
      method: string,
      path: string,
      { query, body, piece, ifMatch, timeoutMs, signal }: ApiRequest = {},
    ) {
      const timeout = AbortSignal.timeout(timeoutMs ?? ANSWER_TIMEOUT_MS);
      const search = toSearch(query);
      const headers: Record<string, string> = { accept: 'application/json' };
      if (body !== undefined) headers['content-type'] = 'application/json';
      if (piece !== undefined) headers['content-type'] = 'application/octet-stream';
      if (method === 'POST') headers['idempotency-key'] = crypto.randomUUID();
      if (ifMatch !== undefined) headers['if-match'] = ifMatch;
      if (reason !== undefined) headers['espalier-reason'] = encodeURIComponent(reason);
      const both = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
      try {
        const payload = piece ?? (body === undefined ? undefined : JSON.stringify(body));
        const response = await send(method, `${path}${search}`, headers, payload, both);
        const answer = (await readAnswer(response)) as T;
        const etag = response.headers.etag;
        return { status: response.statusCode ?? 0, body: answer, ...(etag === undefined ? {} : { etag }) };
      } catch (thrown) {
        if (!timeout.aborted || signal?.aborted) throw thrown;
        throw cliProblems.make('not-reachable', { where, why: 'no answer in time' }, thrown);
      }
    },

    async download(path, signal) {
      const response = await send('GET', path, { accept: 'application/octet-stream' }, undefined, signal);
      if (response.statusCode !== 200) await readAnswer(response);
      response.setTimeout(STREAM_SILENCE_MS, () => response.destroy(new Error('nothing came any more')));
      async function* pieces(): AsyncGenerator<Uint8Array> {
        try {
          for await (const piece of response) yield piece as Uint8Array;
        } catch (thrown) {
          if (signal.aborted) throw signal.reason;
          throw cliProblems.make('not-reachable', { where, why: 'the download broke off' }, thrown);
        }
      }
      return { bytes: Number(response.headers['content-length']), pieces: pieces() };
    },

    async *watch(query, { lastEventId, signal, onOpen }) {
      const headers: Record<string, string> = { accept: 'text/event-stream' };
      if (lastEventId !== undefined) headers['last-event-id'] = lastEventId;
      const response = await send('GET', `/v1/events${toSearch(query)}`, headers, undefined, signal);
      if (response.statusCode !== 200) await readAnswer(response);
      response.setTimeout(STREAM_SILENCE_MS, () => response.destroy(new Error('the stream fell silent')));
      try {
        for await (const event of parseEventStream(createInterface({ input: response }), onOpen)) {
          if (event.kind === 'problem' && isProblemDocument(event.data)) throw new Problem(event.data);
          yield event;
        }
      } catch (thrown) {
        if (signal.aborted || thrown instanceof Problem) throw thrown;
        throw cliProblems.make('not-reachable', { where, why: 'the event stream broke off' }, thrown);
      } finally {
        response.destroy();
      }
    },
  };
}

function toSearch(query: Record<string, string | number | boolean | undefined> = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  return search.size === 0 ? '' : `?${search}`;
}

/** Server-sent events from lines (WHATWG HTML, 9.2), as far as our API uses them; `onOpen` at the first line. */
export async function* parseEventStream(
  lines: AsyncIterable<string>,
  onOpen?: () => void,
): AsyncGenerator<StreamEvent> {
  let id = '';
  let kind = 'message';
  let data: string[] = [];
  let opened = false;
  for await (const line of lines) {
    if (!opened) onOpen?.();
    opened = true;
    if (line === '') {
      if (data.length > 0) yield { id, kind, data: JSON.parse(data.join('\n')) as unknown };
      kind = 'message';
      data = [];
      continue;
    }
    const [, field, value] = /^([^:]*): ?(.*)$/.exec(line) ?? [];
    if (field === 'id') id = value ?? '';
    else if (field === 'event') kind = value ?? '';
    else if (field === 'data') data.push(value ?? '');
  }
}
