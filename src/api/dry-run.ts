// `?dryRun=true` on a route that knows nothing of it would be carried out in earnest. Apart as one rule for all rooms: who
// does not declare `dryRunQuery` is not asked.
import type { MiddlewareHandler } from 'hono';
import type { ApiRoutes } from '../platform/http.ts';
import { httpProblems } from '../platform/http-problems.ts';

/** Refuses a dry run of any change whose route does not declare it. */
export function refuseUnknownDryRuns(rooms: readonly ApiRoutes[]): MiddlewareHandler {
  const able = rooms
    .flatMap((routes) => routes.openAPIRegistry.definitions)
    .filter((definition) => definition.type === 'route')
    .filter(({ route }) => hasDryRun(route.request?.query ?? {}))
    .map(({ route }) => ({
      method: route.method.toUpperCase(),
      path: new RegExp(`^${route.path.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`),
    }));
  return async (c, next) => {
    const { method, path } = c.req;
    const asked = c.req.query('dryRun');
    if (method !== 'GET' && asked !== undefined && asked !== 'false') {
      if (!able.some((route) => route.method === method && route.path.test(path))) {
        throw httpProblems.make('no-dry-run', { method, path });
      }
    }
    await next();
  };
}

/** The routes that change something and know nothing of a dry run, as `POST /v1/things`. */
export function listWithoutDryRun(rooms: readonly ApiRoutes[]): string[] {
  return rooms
    .flatMap((routes) => routes.openAPIRegistry.definitions)
    .filter((definition) => definition.type === 'route')
    .filter(({ route }) => route.method !== 'get' && !hasDryRun(route.request?.query ?? {}))
    .map(({ route }) => `${route.method.toUpperCase()} ${route.path}`)
    .sort();
}

function hasDryRun(query: unknown): boolean {
  const { shape } = query as { shape?: unknown };
  return typeof shape === 'object' && shape !== null && 'dryRun' in shape;
}
