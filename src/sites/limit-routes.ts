// What a site may use, over HTTP.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { type ApiRoutes, accepted, dryRunQuery, jsonBody, makeRoutes, whoOf } from '../platform/http.ts';
import { beginOrPlan, planned } from '../platform/plan-change.ts';
import { siteLimits } from '../protocol/site-document.ts';
import { limitChangesSchema, planLimits, startSetLimits } from './limits.ts';
import type { SiteParts } from './parts.ts';

const changeSchema = z.object({ limits: siteLimits, before: siteLimits });

/** /v1/sites/{name}/limits. */
export function makeSiteLimitRoutes(parts: SiteParts): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();
  routes.openapi(
    createRoute({
      method: 'patch',
      path: '/v1/sites/{name}/limits',
      operationId: 'setSiteLimits',
      tags: ['sites'],
      summary: 'Change what a site may use; null goes back to what its app says, what is not named stays',
      request: {
        query: dryRunQuery,
        params: z.object({ name: z.string() }),
        body: jsonBody(limitChangesSchema),
      },
      responses: { 202: accepted, 200: planned },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      return beginOrPlan(
        c,
        store,
        (s) => s.transaction((sql) => startSetLimits(parts, sql, name, c.req.valid('json'), whoOf(c))),
        ({ params }) => ({ plan: planLimits(changeSchema.parse(params)) }),
      );
    },
  );
  return routes;
}
