// One HTTP request with full say over where it goes and which host it names: the API behind its Unix socket, a site
// through the edge, a site on one node. Apart because fetch can do none of the three.
import { type IncomingHttpHeaders, request } from 'node:http';

export interface Sent {
  method?: string;
  path: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  timeoutMs?: number;
}

export interface Received {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export type Where = { socketPath: string } | { host: string; port: number };

const TIMEOUT_MS = 30_000;

/** Sends it and reads the whole answer, whatever its status. Rejects when there is none within the bound. */
export function send(where: Where, sent: Sent): Promise<Received> {
  const { promise, resolve, reject } = Promise.withResolvers<Received>();
  const { method = 'GET', path, body, timeoutMs = TIMEOUT_MS } = sent;
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const options = { ...where, method, path, agent: false, signal: AbortSignal.timeout(timeoutMs) };
  const asked = request({ ...options, headers: { ...length, ...sent.headers } }, (answer) => {
    const chunks: Buffer[] = [];
    answer.on('data', (chunk: Buffer) => chunks.push(chunk));
    answer.once('error', reject);
    answer.once('end', () =>
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks) }),
    );
  });
  asked.once('error', reject);
  asked.end(body);
  return promise;
}

const LOOK_EVERY_MS = 150;

/** Looks until there is something to see; throws with what was seen last when there is nothing within the bound. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  look: () => Promise<T | undefined>,
  describe: () => string = () => 'nothing',
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (performance.now() > endMs) throw new Error(`${what}: not within ${timeoutMs} ms; last seen: ${describe()}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
