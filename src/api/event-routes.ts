// The journal over HTTP: a page as JSON, or the live stream as server-sent events, by what the client accepts.
// Apart because a stream has no end: it has its own heartbeat and its own way to tell a problem.
import { createRoute } from '@hono/zod-openapi';
import { streamSSE } from 'hono/streaming';
import { z } from 'zod';
import type { Logger } from '../lib/log.ts';
import type { EventFilter, Events } from '../platform/events.ts';
import { type ApiRoutes, json, makeRoutes, pageOf, pageQuery } from '../platform/http.ts';
import { toClientProblem } from './problem-response.ts';

/** Proxies close silent connections after 30 to 60 s; a comment line this often keeps one open. */
const HEARTBEAT_MS = 15_000;

const eventSchema = z.object({
  id: z.string(),
  at: z.string(),
  kind: z.string(),
  subject: z.string(),
  by: z.string(),
  reason: z.string().nullable(),
  data: z.unknown(),
});

const eventQuery = pageQuery.omit({ filter: true }).extend({
  /** Exact: `site:s1a2b3c4d5`. */
  subject: z.string().max(200).optional(),
  /** Exact, or all of a noun with `site.*`. */
  kind: z.string().max(200).optional(),
});

/** `/v1/events`; `closing` aborts when the server stops, so that streams end and the process can. */
export function makeEventRoutes(events: Events, closing: AbortSignal, log: Logger): ApiRoutes {
  const routes = makeRoutes();
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/events',
      operationId: 'listEvents',
      tags: ['events'],
      summary:
        'Newest events; with `Accept: text/event-stream` the live stream after `Last-Event-ID`, else from now on',
      request: { query: eventQuery },
      responses: { 200: json(pageOf(eventSchema), 'A page of events, newest first') },
    }),
    async (c) => {
      const { subject, kind, pageSize, pageToken } = c.req.valid('query');
      const filter: EventFilter = {
        ...(subject === undefined ? {} : { subject }),
        ...(kind === undefined ? {} : { kind }),
      };
      if (!(c.req.header('Accept') ?? '').includes('text/event-stream')) {
        const page = await events.list({
          ...filter,
          limit: pageSize,
          ...(pageToken === undefined ? {} : { pageToken }),
        });
        const { items, nextPageToken } = page;
        return c.json(nextPageToken === null ? { items } : { items, nextPageToken }, 200);
      }
      const after = c.req.header('Last-Event-ID');
      // A stream is no JSON answer of the route's type; it says what it is by its content type.
      return streamSSE(c, async (stream) => {
        const gone = new AbortController();
        stream.onAbort(() => gone.abort());
        const signal = AbortSignal.any([gone.signal, closing]);
        const heartbeat = setInterval(() => void stream.write(': still here\n\n'), HEARTBEAT_MS);
        try {
          // Known before the client is told that it is heard: what it does next is in the stream.
          const watched = events.watch({ ...filter, after: after ?? (await events.readLastId()), signal });
          await stream.write(': from here on\n\n');
          for await (const event of watched) {
            await stream.writeSSE({ id: event.id, event: event.kind, data: JSON.stringify(event) });
          }
        } catch (thrown) {
          const problem = toClientProblem(thrown, 'stream', log);
          await stream.writeSSE({ event: 'problem', data: JSON.stringify(problem.document) });
        } finally {
          clearInterval(heartbeat);
        }
      }) as never;
    },
  );
  return routes;
}
