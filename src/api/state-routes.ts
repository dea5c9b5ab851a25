// How the controller itself is: about, loops, doctor, and why a thing is as it is. Apart from the rooms because
// they look across all of them.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import type { Clock } from '../lib/clock.ts';
import { toProblem } from '../lib/errors.ts';
import type { CheckFinding, DoctorCheck } from '../platform/doctor-check.ts';
import type { Events } from '../platform/events.ts';
import { type ApiRoutes, json, makeRoutes } from '../platform/http.ts';
import type { Loops } from '../platform/loops.ts';
import { HOLDING, listAll } from '../platform/operations/list-all.ts';
import type { Operations } from '../platform/operations/operation.ts';

const CHECK_TIMEOUT_MS = 10_000;

/** What `/v1/about` says. */
export const aboutSchema = z.object({
  version: z.string(),
  /** Version, commit and packages of the code that runs, as `espalier up` started it. */
  build: z.string().optional(),
  deployment: z.string(),
  /** True when no real engine is behind it. */
  simulated: z.boolean(),
  store: z.enum(['pglite', 'postgresql']),
  startedAt: z.string(),
  /** The server of the controller that was asked. */
  controller: z.string().optional(),
  /** Whether it leads; one that stands by hands everything else on to the one that does. */
  leads: z.boolean().optional(),
  /** The server of the controller that leads, told by one that stands by; null between two. */
  leader: z.string().nullable().optional(),
});
export type About = z.infer<typeof aboutSchema>;

const checkSchema = z.object({
  name: z.string(),
  status: z.enum(['ok', 'warn', 'fail']),
  detail: z.string(),
  todo: z.string().optional(),
  durationMs: z.number(),
});

const loopSchema = z.object({
  name: z.string(),
  wrongWhen: z.string(),
  everyMs: z.number(),
  state: z.enum(['stopped', 'idle', 'running', 'stuck']),
  runs: z.number(),
  failures: z.number(),
  lastStartedAt: z.string().nullable(),
  lastDurationMs: z.number().nullable(),
  lastResult: z.unknown(),
  lastProblem: z.unknown(),
  nextAt: z.string().nullable(),
});

const whySchema = z.object({
  subject: z.string(),
  /** What is being done to it now, and what that waits for. */
  now: z.array(
    z.object({ operation: z.string(), title: z.string(), state: z.string(), waitingFor: z.string().nullable() }),
  ),
  /** Decisions about it, and what its operations were asked for; newest first. */
  reasons: z.array(z.object({ at: z.string(), kind: z.string(), by: z.string(), reason: z.string() })),
});

/** Turns a noun and a name as people type it into an event subject: `site`, `acme` → `site:s1a2b3c4d5`. */
export type SubjectOf = (noun: string, name: string) => Promise<string>;

async function runCheck(check: DoctorCheck, clock: Clock) {
  const startedMs = clock.monotonicMs();
  const signal = AbortSignal.timeout(CHECK_TIMEOUT_MS);
  const late = new Promise<CheckFinding>((resolve) =>
    signal.addEventListener('abort', () =>
      resolve({ status: 'fail', detail: `No answer within ${CHECK_TIMEOUT_MS / 1000} s.`, todo: 'See the log.' }),
    ),
  );
  const finding = await Promise.race([
    check.run(signal).catch((thrown: unknown): CheckFinding => {
      const { detail, todo } = toProblem(thrown).document;
      return { status: 'fail', detail, todo };
    }),
    late,
  ]);
  return { name: check.name, ...finding, durationMs: Math.round(clock.monotonicMs() - startedMs) };
}

/** `/v1/about`, `/v1/loops`, `/v1/doctor`, `/v1/why`. */
export function makeStateRoutes(parts: {
  about: About;
  loops: Loops;
  events: Events;
  operations: Operations;
  checks: readonly DoctorCheck[];
  subjectOf: SubjectOf;
  clock: Clock;
}): ApiRoutes {
  const { about, loops, events, operations, checks, subjectOf, clock } = parts;
  const routes = makeRoutes();
  const tags = ['state'];

  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/about',
      operationId: 'about',
      tags,
      summary: 'Version and deployment; answers as soon as the controller serves',
      responses: { 200: json(aboutSchema, 'What this controller is') },
    }),
    (c) => c.json(about, 200),
  );

  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/loops',
      operationId: 'listLoops',
      tags,
      summary: 'Every loop with its last status',
      responses: { 200: json(z.object({ items: z.array(loopSchema) }), 'The loops') },
    }),
    (c) => c.json({ items: loops.statuses() }, 200),
  );

  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/doctor',
      operationId: 'doctor',
      tags,
      summary: 'Every check of the deployment, with what to do',
      responses: { 200: json(z.object({ checks: z.array(checkSchema) }), 'The findings') },
    }),
    async (c) => c.json({ checks: await Promise.all(checks.map((check) => runCheck(check, clock))) }, 200),
  );

  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/why/{noun}/{name}',
      operationId: 'why',
      tags,
      summary: 'Why a thing is as it is: what is done to it now, and the reasons of past decisions',
      request: { params: z.object({ noun: z.string().max(40), name: z.string().max(253) }) },
      responses: { 200: json(whySchema, 'The reasons') },
    }),
    async (c) => {
      const { noun, name } = c.req.valid('param');
      const subject = await subjectOf(noun, name);
      const [journal, recent, active] = await Promise.all([
        events.list({ subject, limit: 200 }),
        operations.list({ lock: subject, limit: 20 }),
        listAll(operations, { lock: subject, states: HOLDING }),
      ]);
      const now = active.map(({ id, title, state, waiting, problem }) => ({
        operation: id,
        title,
        state,
        waitingFor: waiting?.problem.detail ?? problem?.detail ?? null,
      }));
      const asked = recent.items.map(({ createdAt, kind, by, reason }) => ({ at: createdAt, kind, by, reason }));
      const reasons = [...journal.items, ...asked]
        .flatMap(({ at, kind, by, reason }) => (reason === null ? [] : [{ at, kind, by, reason }]))
        .sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
      return c.json({ subject, now, reasons }, 200);
    },
  );
  return routes;
}
