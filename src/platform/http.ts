// What every room's routes.ts shares: who asks, pages, filters, versions, 202 answers. Apart from api/ because
// rooms may not import upwards; api/ mounts what the rooms make and renders thrown problems.
//
//   // src/sites/routes.ts (paths are complete, from /v1 on; throw problems, return plain objects)
//   export function makeSiteRoutes(deps: { store: Store; operations: Operations }): ApiRoutes {
//     const routes = makeRoutes();
//     routes.openapi(
//       createRoute({
//         method: 'get', path: '/v1/sites', operationId: 'listSites', tags: ['sites'], summary: 'List sites',
//         request: { query: pageQuery }, responses: { 200: json(pageOf(siteSchema), 'A page of sites') },
//       }),
//       async (c) => {
//         const { pageSize, pageToken, filter } = c.req.valid('query');
//         const where = renderFilterSql(parseFilter(filter, ['name', 'state']), { name: 's.name', state: 's.state' }, 3);
//         const rows = await listSites(deps.store, fromPageToken(pageToken), pageSize + 1, where); // keyset: name > $1
//         return c.json(toPage(rows, pageSize, (site) => site.name), 200);
//       },
//     );
//     routes.openapi(
//       createRoute({
//         method: 'post', path: '/v1/sites', operationId: 'createSite', tags: ['sites'], summary: 'Create a site',
//         request: { body: jsonBody(newSiteSchema), query: dryRunQuery }, responses: { 202: accepted },
//       }),
//       async (c) => {
//         const params = c.req.valid('json');
//         const operation = await deps.store.transaction((sql) => deps.operations.start(sql, 'site.create', params, whoOf(c)));
//         deps.operations.wake();
//         return answerAccepted(c, operation);
//       },
//     );
//     return routes;
//   }
//
// The default problem response, security and the Idempotency-Key header of POST are added to the OpenAPI document by
// api/, and handled there: a room does nothing for them. One resource: `c.header('ETag', etagOf(version))`, and before
// a change `assertIfMatch(c, version)`. Scopes by method: GET needs `read`, the rest `operate`; see `needsScope`.
import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context, MiddlewareHandler } from 'hono';
import { z } from 'zod';
import { type FieldError, httpProblems } from './http-problems.ts';

/** What a token may do: `read` looks, `operate` changes sites and pools, `admin` also tokens, servers and the deployment. */
export type Scope = 'read' | 'operate' | 'admin';

/** Who asks: `by` is `root` on the Unix socket or `token:NAME`; `reason` is what they say it is for. */
export interface Who {
  by: string;
  scopes: readonly Scope[];
  reason?: string;
}

/** What api/ puts into the context before a room's handler runs. */
export interface ApiEnv {
  Variables: { who: Who };
}

/** A room's routes, mounted by api/. */
export type ApiRoutes = OpenAPIHono<ApiEnv>;

type Issue = { path: PropertyKey[]; message: string };
const PARTS: Record<string, FieldError['in']> = { json: 'body', query: 'query', param: 'path', header: 'header' };

/** Zod's issues as fields with JSON pointers (RFC 6901). */
export function toFieldErrors(part: FieldError['in'], issues: readonly Issue[]): FieldError[] {
  return issues.map((issue) => ({
    in: part,
    pointer: issue.path.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''),
    detail: issue.message,
  }));
}

/** An empty set of routes whose validation errors become `http.invalid-request`. */
export function makeRoutes(): ApiRoutes {
  return new OpenAPIHono<ApiEnv>({
    defaultHook: (result) => {
      if (result.success) return;
      throw httpProblems.make('invalid-request', {
        errors: toFieldErrors(PARTS[result.target] ?? 'body', result.error.issues),
      });
    },
  });
}

/** A JSON response of a route. */
export function json<S extends z.ZodType>(schema: S, description: string) {
  return { description, content: { 'application/json': { schema } } };
}

/** A required JSON body of a route. */
export function jsonBody<S extends z.ZodType>(schema: S) {
  return { required: true, content: { 'application/json': { schema } } };
}

/** Who asks, in the shape that `operations.start` takes. */
export function whoOf(c: Context<ApiEnv>): { by: string; reason?: string } {
  const { by, reason } = c.get('who');
  return reason === undefined ? { by } : { by, reason };
}

/** Middleware for a route that needs more than its method's default scope: `middleware: [needsScope('admin')]`. */
export function needsScope(needed: Scope): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    assertScope(c.get('who'), needed);
    await next();
  };
}

const RANK: Record<Scope, number> = { read: 0, operate: 1, admin: 2 };

/** Throws `http.not-allowed` unless one of the scopes includes `needed` (admin includes operate includes read). */
export function assertScope(who: Who, needed: Scope): void {
  if (who.scopes.some((scope) => RANK[scope] >= RANK[needed])) return;
  throw httpProblems.make('not-allowed', { needed, has: [...who.scopes] });
}

/** Query of every list: at most 500 items a page, an opaque token, one filter string. */
export const pageQuery = z.object({
  pageSize: z.coerce.number().int().min(1).max(500).default(100),
  pageToken: z.string().max(2000).optional(),
  filter: z.string().max(1000).optional(),
});

/** The shape of a list answer. */
export function pageOf<S extends z.ZodType>(item: S) {
  return z.object({ items: z.array(item), nextPageToken: z.string().optional() });
}

/** The key after which the page begins, from a token made by `toPage`; undefined for the first page. */
export function fromPageToken(token: string | undefined): string | undefined {
  if (token === undefined) return undefined;
  const text = Buffer.from(token, 'base64url').toString('utf8');
  if (!text.startsWith('1:')) throw httpProblems.make('bad-page-token', {});
  return text.slice(2);
}

/** A page of `pageSize` from rows of which one more than that was asked for; `keyOf` gives the keyset key. */
export function toPage<Row>(rows: readonly Row[], pageSize: number, keyOf: (row: Row) => string) {
  const items = rows.slice(0, pageSize);
  const last = items.at(-1);
  if (rows.length <= pageSize || last === undefined) return { items };
  return { items, nextPageToken: Buffer.from(`1:${keyOf(last)}`, 'utf8').toString('base64url') };
}

/** One term of a filter; all terms must hold. */
export interface FilterTerm {
  field: string;
  is: boolean;
  value: string;
}

/** Parses `field=value field!=value` (values with spaces in double quotes) against the allowed fields. */
export function parseFilter(filter: string | undefined, allowed: readonly string[]): FilterTerm[] {
  const terms = (filter ?? '').match(/(?:[^\s"]|"[^"]*"?)+/g) ?? [];
  return terms.map((term) => {
    const [, field, operator, quoted, plain] = /^([A-Za-z.]+)(!?=)(?:"([^"]*)"|([^"]*))$/.exec(term) ?? [];
    if (field === undefined || !allowed.includes(field)) {
      throw httpProblems.make('bad-filter', { term, allowed: [...allowed] });
    }
    return { field, is: operator === '=', value: quoted ?? plain ?? '' };
  });
}

/** The filter as SQL: ` AND column = $n` for each term, with values; `columns` maps every allowed field. */
export function renderFilterSql(
  terms: readonly FilterTerm[],
  columns: Record<string, string>,
  firstPlaceholder: number,
): { text: string; values: string[] } {
  const clauses = terms.map(
    (term, i) => ` AND ${columns[term.field]}::text ${term.is ? '=' : 'IS DISTINCT FROM'} $${firstPlaceholder + i}`,
  );
  return { text: clauses.join(''), values: terms.map((term) => term.value) };
}

/** `?dryRun=true`: say what would happen, change nothing, answer 200 with a plan. */
export const dryRunQuery = z.object({
  dryRun: z
    .enum(['true', 'false'])
    .default('false')
    .transform((value) => value === 'true'),
});

/** What would be done, for people: the answer of every dry run. */
export const planSchema = z
  .object({
    plan: z.array(z.string()).describe('What would be done, where, and why there is room'),
    sites: z.array(z.string()).describe('Names of the sites that notice it'),
    pauseS: z.number().describe('For how long their visitors would wait'),
  })
  .openapi('Plan');

/** The strong entity tag of a version. */
export function etagOf(version: number | string): string {
  return `"${version}"`;
}

/** Throws `http.changed-meanwhile` when the request carries an If-Match that is not this version. */
export function assertIfMatch(c: Context<ApiEnv>, version: number | string): void {
  const expected = c.req.header('If-Match');
  if (expected === undefined || expected === '*') return;
  if (expected.split(',').some((tag) => tag.trim() === etagOf(version))) return;
  throw httpProblems.make('changed-meanwhile', { expected, actual: etagOf(version) });
}

/** Body of a 202: the operation's id and where to follow it. */
export const acceptedSchema = z.object({
  operation: z.object({ id: z.string(), kind: z.string(), title: z.string(), href: z.string() }),
});

/** Response entry for anything long. */
export const accepted = json(acceptedSchema, 'Accepted; follow the operation named in Location');

/** The 202 answer with Location. */
export function answerAccepted(c: Context<ApiEnv>, operation: { id: string; kind: string; title: string }) {
  const { id, kind, title } = operation;
  const href = `/v1/operations/${encodeURIComponent(id)}`;
  c.header('Location', href);
  return c.json({ operation: { id, kind, title, href } }, 202);
}
