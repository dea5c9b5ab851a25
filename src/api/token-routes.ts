// Access tokens over HTTP: make, list, revoke. Here and not in a room, since tokens are about the API itself.
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import {
  type ApiRoutes,
  dryRunQuery,
  json,
  jsonBody,
  makeRoutes,
  needsScope,
  pageOf,
  planSchema,
  type Scope,
  whoOf,
} from '../platform/http.ts';
import { planned, planOf, rehearsing } from '../platform/plan-change.ts';
import type { Store } from '../platform/store.ts';
import { listTokens, makeToken, revokeToken } from '../platform/tokens.ts';

const DAY_MS = 86_400_000;
const LONGEST_DAYS = 730;

const scopeSchema = z.enum(['read', 'operate', 'admin']) satisfies z.ZodType<Scope>;
const tokenSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    scopes: z.array(scopeSchema),
    by: z.string(),
    createdAt: z.string(),
    expiresAt: z.string(),
    revokedAt: z.string().nullable(),
    revokedBy: z.string().nullable(),
    lastUsedAt: z.string().nullable(),
  })
  .openapi('Token');
const newTokenSchema = z.object({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'must be letters, digits, ".", "_" or "-", 63 at most'),
  scopes: z.array(scopeSchema).min(1),
  days: z.int().min(1).max(LONGEST_DAYS).default(90),
});

/** /v1/tokens. All of it needs `admin`: who may make tokens may do everything. */
export function makeTokenRoutes(parts: { store: Store }): ApiRoutes {
  const { store } = parts;
  const routes = makeRoutes();
  const common = { tags: ['tokens'], middleware: [needsScope('admin')] };
  routes.openapi(
    createRoute({
      ...common,
      method: 'get',
      path: '/v1/tokens',
      operationId: 'listTokens',
      summary: 'List tokens, newest first; those that ended are shown for 30 days',
      responses: { 200: json(pageOf(tokenSchema), 'All tokens') },
    }),
    async (c) => c.json({ items: await listTokens(store) }, 200),
  );
  routes.openapi(
    createRoute({
      ...common,
      method: 'post',
      path: '/v1/tokens',
      operationId: 'createToken',
      summary: 'Make a token; it is shown in this answer and never again',
      request: { query: dryRunQuery, body: jsonBody(newTokenSchema) },
      responses: { 200: planned, 201: json(tokenSchema.extend({ token: z.string() }), 'The token') },
    }),
    async (c) => {
      const { name, scopes, days } = c.req.valid('json');
      const wish = { name, scopes, expiresInMs: days * DAY_MS, by: whoOf(c).by };
      const plan = await planOf(c, () => makeToken(rehearsing(store), wish), {
        plan: [`A token ${name} is made that may ${scopes.join(', ')}, for ${days} days.`],
      });
      if (plan !== undefined) return c.json(plan, 200);
      const { plaintext, ...token } = await makeToken(store, wish);
      return c.json({ ...token, token: plaintext }, 201);
    },
  );
  routes.openapi(
    createRoute({
      ...common,
      method: 'delete',
      path: '/v1/tokens/{id}',
      operationId: 'revokeToken',
      summary: 'Revoke a token',
      request: { query: dryRunQuery, params: z.object({ id: z.string().max(100) }) },
      responses: { 200: json(z.union([tokenSchema, planSchema]), 'The token as it is then') },
    }),
    async (c) => {
      const { id } = c.req.valid('param');
      const plan = await planOf(c, () => revokeToken(rehearsing(store), id, whoOf(c).by), {
        plan: ['Whoever uses it is refused from then on.'],
      });
      return plan === undefined ? c.json(await revokeToken(store, id, whoOf(c).by), 200) : c.json(plan, 200);
    },
  );
  return routes;
}
