// What of a site is held back, over HTTP: its mail, and the addresses that it calls.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import {
  type ApiRoutes,
  accepted,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  needsScope,
  pageOf,
  whoOf,
} from '../platform/http.ts';
import { beginOrPlan, planned } from '../platform/plan-change.ts';
import { heldMailSchema, listHeldMail, readHeldMail } from './held-mail.ts';
import { startHold } from './hold.ts';
import type { SiteParts } from './parts.ts';

const nameParam = z.object({ name: z.string() });

/** /v1/sites/{name}/mail, …/hooks and …/held-mail. */
export function makeSiteHoldRoutes(parts: SiteParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();
  for (const [what, operationId, summary] of [
    ['mail', 'setSiteMail', "Hold a site's mail back, or let it go"],
    ['hooks', 'setSiteHooks', 'Keep a site from calling anybody over HTTP, or let it'],
  ] as const) {
    routes.openapi(
      createRoute({
        method: 'put',
        path: `/v1/sites/{name}/${what}`,
        operationId,
        tags: ['sites'],
        summary,
        request: { query: dryRunQuery, params: nameParam, body: jsonBody(z.object({ held: z.boolean() })) },
        responses: { 202: accepted, 200: planned },
      }),
      async (c) => {
        const { name } = c.req.valid('param');
        const wish = { what, held: c.req.valid('json').held };
        return beginOrPlan(
          c,
          store,
          (s) => s.transaction((sql) => startHold(parts, sql, name, wish, whoOf(c))),
          () => ({ plan: ['Its PHP starts anew with it on each of its nodes; nobody waits.'] }),
        );
      },
    );
  }
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/sites/{name}/held-mail',
      operationId: 'listHeldMail',
      tags: ['sites'],
      summary: 'What a site would have sent by mail and was put aside, newest first',
      middleware: [needsScope('operate')],
      request: { params: nameParam },
      responses: { 200: json(pageOf(heldMailSchema.openapi('HeldMail')), 'The last hundred') },
    }),
    async (c) => c.json({ items: await listHeldMail(parts, c.req.valid('param').name, c.req.raw.signal) }, 200),
  );
  routes.openapi(
    createRoute({
      method: 'get',
      path: '/v1/sites/{name}/held-mail/{message}',
      operationId: 'readHeldMail',
      tags: ['sites'],
      summary: 'One message as it would have been sent',
      middleware: [needsScope('operate')],
      request: { params: nameParam.extend({ message: z.string() }) },
      responses: { 200: json(z.object({ text: z.string() }), 'Its first 60 kB') },
    }),
    async (c) => {
      const { name, message } = c.req.valid('param');
      return c.json({ text: await readHeldMail(parts, name, message, c.req.raw.signal) }, 200);
    },
  );
  return routes;
}
