// Thrown things as RFC 9457 answers. Apart so that the application, the 404 and the sockets' errors agree, and so
// that nothing but a problem's own sentences ever leaves the process.
import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { z } from 'zod';
import { commonProblems, Problem } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { httpProblems } from '../platform/http-problems.ts';

/** The document of every answer that is not a success. */
export const problemSchema = z.object({
  type: z.string(),
  code: z.string(),
  title: z.string(),
  status: z.number().int(),
  detail: z.string(),
  todo: z.string(),
  retryable: z.boolean(),
  /** The request's id, as in the log. */
  instance: z.string(),
  about: z.record(z.string(), z.unknown()).optional(),
  /** The fields that do not fit, with JSON pointers (RFC 6901). */
  errors: z.array(z.object({ in: z.string(), pointer: z.string(), detail: z.string() })).optional(),
});

/** What the client is told. Anything that is not a problem is logged whole and told without its inner text. */
export function toClientProblem(thrown: unknown, requestId: string, log: Logger): Problem {
  if (thrown instanceof Problem) {
    if (thrown.document.status >= 500) log.error({ err: thrown, requestId }, 'a request failed');
    return thrown;
  }
  if (thrown instanceof HTTPException && thrown.status === 400) return httpProblems.make('malformed-body', {}, thrown);
  log.error({ err: thrown, requestId }, 'a request failed unexpectedly');
  return commonProblems.make('internal', { what: `The request ${requestId} could not be answered` }, thrown);
}

/** The answer to a problem. */
export function answerProblem(c: Context, problem: Problem, requestId: string): Response {
  const { about, ...document } = problem.document;
  const { errors, ...rest } = about ?? {};
  const body = {
    ...document,
    instance: requestId,
    ...(Object.keys(rest).length > 0 ? { about: rest } : {}),
    ...(errors === undefined ? {} : { errors }),
  };
  const headers: Record<string, string> = { 'Content-Type': 'application/problem+json' };
  if (document.status === 401) headers['WWW-Authenticate'] = 'Bearer realm="espalier"';
  if (document.retryable) headers['Retry-After'] = '5';
  return c.body(JSON.stringify(body), document.status as 400, headers);
}
