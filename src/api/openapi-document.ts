// The OpenAPI document, from the routes themselves. Adds what every route has in common (problems, security,
// Idempotency-Key), so that rooms do not repeat it.
import type { ApiRoutes } from '../platform/http.ts';
import { problemSchema } from './problem-response.ts';

const PROBLEM_RESPONSE = {
  description: 'A problem (RFC 9457); its `code` is in docs/reference/errors.md',
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
};
const IDEMPOTENCY_KEY = {
  name: 'Idempotency-Key',
  in: 'header' as const,
  required: false,
  description: 'The same key with the same request is carried out once and answered alike each time',
  schema: { type: 'string' as const, maxLength: 200 },
};

/** The document of these routes (OpenAPI 3.1), as `/v1/openapi.json` sends it. */
export function renderOpenApi(routes: ApiRoutes, version: string): object {
  if (!routes.openAPIRegistry.definitions.some((d) => d.type === 'schema' && d.schema === problemSchema)) {
    routes.openAPIRegistry.register('Problem', problemSchema);
    routes.openAPIRegistry.registerComponent('securitySchemes', 'token', { type: 'http', scheme: 'bearer' });
  }
  const document = routes.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'Espalier', version, license: { name: 'Apache-2.0' } },
    security: [{ token: [] }],
  });
  // The order of paths is that of their names, not of mounting, so that the committed document changes only with them.
  const paths = Object.entries(document.paths ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  document.paths = Object.fromEntries(paths);
  for (const [, path] of paths) {
    for (const [method, operation] of Object.entries(path)) {
      operation.responses = { ...operation.responses, default: PROBLEM_RESPONSE };
      if (method === 'post') operation.parameters = [...(operation.parameters ?? []), IDEMPOTENCY_KEY];
    }
  }
  return document;
}
