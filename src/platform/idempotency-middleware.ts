// Idempotency-Key for every POST of the API: the first answer is remembered and sent again. Apart from the table's SQL
// (idempotency.ts), which knows nothing of HTTP.
import type { MiddlewareHandler } from 'hono';
import type { ApiEnv } from './http.ts';
import { claimIdempotent, forgetIdempotent, hashRequest, rememberIdempotent } from './idempotency.ts';
import type { Json, Store } from './store.ts';

const KEPT_HEADERS = ['location', 'etag', 'content-type'];
const LONGEST_KEY = 200;

/** Gives a remembered answer again, marked `Idempotency-Replayed: true`. Problems are not remembered: they changed nothing. */
export function makeIdempotency(store: Store): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const key = c.req.header('Idempotency-Key')?.slice(0, LONGEST_KEY);
    if (c.req.method !== 'POST' || key === undefined || key === '') return await next();
    const { pathname, search } = new URL(c.req.url);
    const requestHash = hashRequest(`${search}\n${await c.req.text()}`);
    const request = { key, route: `POST ${pathname}`, who: c.get('who').by, requestHash };
    const known = await claimIdempotent(store, request);
    if (known !== null) {
      const headers = { ...known.headers, 'Idempotency-Replayed': 'true' };
      return new Response(JSON.stringify(known.body), { status: known.status, headers });
    }
    await next();
    const { res } = c;
    if (res.status >= 400 || !(res.headers.get('content-type') ?? '').includes('json')) {
      await forgetIdempotent(store, request);
      return;
    }
    const headers: Record<string, string> = {};
    for (const name of KEPT_HEADERS) {
      const value = res.headers.get(name);
      if (value !== null) headers[name] = value;
    }
    await rememberIdempotent(store, request, { status: res.status, headers, body: (await res.clone().json()) as Json });
  };
}
