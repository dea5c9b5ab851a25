// What can go wrong between a client and the API before any room is asked: input, tokens, pages, versions.
// Apart from http.ts so that the errors page is generated from catalogues alone.
import { makeCatalogue } from '../lib/errors.ts';

/** One field that does not fit its schema; `pointer` is a JSON pointer into the named part of the request. */
export interface FieldError {
  in: 'body' | 'query' | 'path' | 'header';
  pointer: string;
  detail: string;
}

/** Problems of the HTTP API itself. */
export const httpProblems = makeCatalogue('http', {
  'invalid-request': {
    status: 400,
    title: 'The request is not valid',
    detail: (a: { errors: FieldError[] }) =>
      `${a.errors.map((error) => `${error.in} ${error.pointer || '/'}: ${error.detail}`).join('; ')}.`,
    todo: () => 'Correct these fields and try again; nothing was changed.',
  },
  'malformed-body': {
    status: 400,
    title: 'The body is not JSON',
    detail: () => 'The request body could not be read as JSON.',
    todo: () => 'Send a JSON document with `Content-Type: application/json`.',
  },
  'body-too-large': {
    status: 413,
    title: 'The body is too large',
    detail: (a: { limitBytes: number }) => `The request body is larger than ${a.limitBytes} bytes.`,
    todo: () => 'Send a smaller document; files do not travel through this API.',
  },
  'length-required': {
    status: 411,
    title: 'The length of the body is needed',
    detail: () => 'The request has a body in chunks, without `Content-Length`.',
    todo: () => 'Send the document whole, with its length.',
  },
  'bad-page-token': {
    status: 400,
    title: 'The page token is not one of ours',
    detail: () => 'The `pageToken` was not made by this API.',
    todo: () => 'Start again without `pageToken`, and pass `nextPageToken` of each answer on as it is.',
  },
  'bad-filter': {
    status: 400,
    title: 'The filter is not valid',
    detail: (a: { term: string; allowed: string[] }) =>
      `The filter term "${a.term}" is not \`field=value\` or \`field!=value\` of ${a.allowed.join(', ')}.`,
    todo: () => 'Separate terms by spaces, for example `app=wordpress state!=ready`.',
  },
  'not-authenticated': {
    status: 401,
    title: 'A token is needed',
    detail: () => 'The request carries no valid token.',
    todo: () => 'Make one with `espalier token create` on the server and send it as `Authorization: Bearer …`.',
  },
  'not-allowed': {
    status: 403,
    title: 'The token does not allow this',
    detail: (a: { needed: string; has: string[] }) =>
      `This needs the scope "${a.needed}"; the token has ${a.has.length === 0 ? 'none' : a.has.join(', ')}.`,
    todo: () => 'Use a token with that scope, made with `espalier token create --scope SCOPE`.',
  },
  'changed-meanwhile': {
    status: 412,
    title: 'It has changed meanwhile',
    detail: (a: { expected: string; actual: string }) =>
      `The request expects version ${a.expected}, and the present one is ${a.actual}.`,
    todo: () => 'Read it again, decide anew, and send its new `ETag` in `If-Match`.',
  },
  'no-dry-run': {
    status: 400,
    title: 'This cannot be tried out',
    detail: (a: { method: string; path: string }) => `${a.method} ${a.path} has no dry run; nothing was changed.`,
    todo: () => 'Leave `dryRun` (`--dry-run`) out to carry it out.',
  },
  'no-such-route': {
    status: 404,
    title: 'There is no such address',
    detail: (a: { method: string; path: string }) => `The API has no ${a.method} ${a.path}.`,
    todo: () => 'See /v1/openapi.json for what there is.',
  },
  'too-slow': {
    status: 504,
    title: 'The answer took too long',
    detail: (a: { seconds: number }) => `The controller had no answer within ${a.seconds} s.`,
    todo: () => 'Ask again; if it stays so, run `espalier doctor`.',
    retryable: true,
  },
});
