// The HTTP application: who asks, what they may, bounds, problems; mounts every room's routes. Apart from
// server.ts, which owns sockets and files, so that tests call it without a network.
import { OpenAPIHono } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { DoctorCheck } from '../platform/doctor-check.ts';
import type { Events } from '../platform/events.ts';
import { type ApiEnv, type ApiRoutes, assertScope, type Who } from '../platform/http.ts';
import { httpProblems } from '../platform/http-problems.ts';
import type { Loops } from '../platform/loops.ts';
import type { Operations } from '../platform/operations/operation.ts';
import { refuseUnknownDryRuns } from './dry-run.ts';
import { makeEventRoutes } from './event-routes.ts';
import { renderOpenApi } from './openapi-document.ts';
import { makeOperationRoutes } from './operation-routes.ts';
import { answerProblem, toClientProblem } from './problem-response.ts';
import { type About, makeStateRoutes, type SubjectOf } from './state-routes.ts';

/** A recipe or a site's settings fit many times over; files do not travel through this API. */
const BODY_LIMIT_BYTES = 1024 * 1024;
/** Everything long is an operation, so an answer that takes this long is a fault. Doctor has 10 s for its checks. */
const ANSWER_TIMEOUT_MS = 30_000;

/** `local`: the Unix socket, where the file's mode says who may come (root). `remote`: TLS, with a token. */
export type Transport = 'local' | 'remote';

/** What the sockets tell the application of a connection. */
export interface Bindings {
  transport: Transport;
}

/** What the API is made of; main.ts gives it. */
export interface ApiParts {
  about: About;
  /** What every room's makeXRoutes gave. */
  rooms: readonly ApiRoutes[];
  operations: Operations;
  events: Events;
  loops: Loops;
  checks: readonly DoctorCheck[];
  subjectOf: SubjectOf;
  /** Who a bearer token belongs to; undefined when it is unknown, expired or revoked. */
  authenticate(token: string): Promise<Who | undefined>;
  /** Answers a repeated POST with the same Idempotency-Key as the first time. */
  idempotency?: MiddlewareHandler<ApiEnv>;
  /** Bound of every answer but streams; 30 s unless told. */
  answerTimeoutMs?: number;
  /** Aborts when the server stops. */
  closing: AbortSignal;
  clock: Clock;
  log: Logger;
}

type Env = ApiEnv & { Bindings: Bindings; Variables: { requestId: string } };

async function readWho(header: string | undefined, transport: Transport, parts: ApiParts): Promise<Who> {
  const token = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1];
  if (token === undefined && transport === 'local') return { by: 'root', scopes: ['admin'] };
  const who = token === undefined ? undefined : await parts.authenticate(token);
  if (who === undefined) throw httpProblems.make('not-authenticated', {});
  return who;
}

/** The reason that the client gives for what it asks: `Espalier-Reason`, percent-encoded UTF-8, at most 500 characters. */
function readReason(header: string | undefined): string | undefined {
  if (header === undefined || header === '') return undefined;
  try {
    return decodeURIComponent(header).slice(0, 500);
  } catch {
    return header.slice(0, 500);
  }
}

/** Makes the application. */
export function makeApi(parts: ApiParts): OpenAPIHono<Env> {
  const { log } = parts;
  const answerTimeoutMs = parts.answerTimeoutMs ?? ANSWER_TIMEOUT_MS;
  const api = new OpenAPIHono<Env>();

  api.use(async (c, next) => {
    const requestId = crypto.randomUUID();
    c.set('requestId', requestId);
    const startedMs = parts.clock.monotonicMs();
    await next();
    const durationMs = Math.round(parts.clock.monotonicMs() - startedMs);
    log.debug({ requestId, method: c.req.method, path: c.req.path, status: c.res.status, durationMs }, 'answered');
  });
  api.onError((thrown, c) => {
    const requestId = c.get('requestId');
    return answerProblem(c, toClientProblem(thrown, requestId, log), requestId);
  });
  api.notFound((c) => {
    const problem = httpProblems.make('no-such-route', { method: c.req.method, path: c.req.path });
    return answerProblem(c, problem, c.get('requestId'));
  });
  api.use(async (c, next) => {
    // A body says its length beforehand (fetch, curl and Node do), so that nothing has to be read to refuse it.
    if (c.req.header('Transfer-Encoding') !== undefined) throw httpProblems.make('length-required', {});
    if (Number(c.req.header('Content-Length') ?? 0) > BODY_LIMIT_BYTES) {
      throw httpProblems.make('body-too-large', { limitBytes: BODY_LIMIT_BYTES });
    }
    await next();
  });
  api.use('/v1/*', async (c, next) => {
    const who = await readWho(c.req.header('Authorization'), c.env.transport, parts);
    const reason = readReason(c.req.header('Espalier-Reason'));
    c.set('who', reason === undefined ? who : { ...who, reason });
    assertScope(who, c.req.method === 'GET' || c.req.method === 'HEAD' ? 'read' : 'operate');
    await next();
  });
  api.use('/v1/*', async (_, next) => {
    const bound = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => bound.reject(httpProblems.make('too-slow', { seconds: answerTimeoutMs / 1000 })),
      answerTimeoutMs,
    );
    try {
      await Promise.race([next(), bound.promise]);
    } finally {
      clearTimeout(timer);
    }
  });
  const idempotency = parts.idempotency as MiddlewareHandler | undefined;
  if (idempotency !== undefined) {
    // An answer with a new token is not kept: tokens, join-tokens and controller-tokens are stored as hashes only.
    api.use('/v1/*', (c, next) => (c.req.path.endsWith('tokens') ? next() : idempotency(c, next)));
  }

  const all = listAllRoutes(parts);
  api.use('/v1/*', refuseUnknownDryRuns(all));
  for (const routes of all) api.route('/', routes);
  let document: string | undefined;
  api.get('/v1/openapi.json', (c) => {
    document ??= JSON.stringify(renderOpenApi(joinRoutes(all), parts.about.version));
    return c.body(document, 200, { 'Content-Type': 'application/json' });
  });
  return api;
}

/** The API's own routes and the rooms'. */
function listAllRoutes(parts: ApiParts): ApiRoutes[] {
  return [
    makeStateRoutes(parts),
    makeOperationRoutes(parts.operations),
    makeEventRoutes(parts.events, parts.closing, parts.log),
    ...parts.rooms,
  ];
}

/** All routes in one, in the order of their paths, so that the document does not depend on the order of mounting. */
export function joinRoutes(all: readonly ApiRoutes[]): ApiRoutes {
  const joined = new OpenAPIHono<ApiEnv>();
  for (const routes of all) joined.route('/', routes);
  return joined;
}
