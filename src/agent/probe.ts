// Asks nodes over HTTP whether they can serve. Apart from the loop that decides when, because the controller
// asks for single probes too. A probe never throws: silence is an answer.
import { request } from 'node:http';

export interface ProbeTarget {
  address: string;
  port?: number;
  host: string;
  path: string;
  /** Text that the body must contain; its first 512 KiB are looked at. */
  contains?: string | undefined;
}

export interface ProbeResult {
  /** HTTP status, 0 when there was no answer. */
  status: number;
  ok: boolean;
  detail: string;
}

const MAX_BODY_BYTES = 512 * 1024;

/** What a node said; `detail` when it did not. */
export interface Got {
  /** 0 when there was no answer. */
  status: number;
  /** Where a redirect leads to. */
  location: string;
  /** Its first 512 KiB. */
  body: Buffer;
  detail: string;
}

/** One GET, not following redirects. */
export function get(target: Omit<ProbeTarget, 'contains'>, timeoutMs: number, signal?: AbortSignal): Promise<Got> {
  return new Promise((resolve) => {
    const silent = (detail: string) => resolve({ status: 0, location: '', body: Buffer.alloc(0), detail });
    const bound = AbortSignal.timeout(timeoutMs);
    const bounds = [bound, ...(signal === undefined ? [] : [signal])];
    const outgoing = request(
      {
        host: target.address,
        port: target.port ?? 80,
        path: target.path,
        headers: { host: target.host, connection: 'close', 'user-agent': 'espalier-probe' },
        signal: AbortSignal.any(bounds),
      },
      (incoming) => {
        const status = incoming.statusCode ?? 0;
        const chunks: Buffer[] = [];
        let size = 0;
        incoming.on('data', (chunk: Buffer) => {
          if (size < MAX_BODY_BYTES) chunks.push(chunk);
          size += chunk.length;
        });
        incoming.on('error', (error) => silent(error.message));
        incoming.on('end', () =>
          resolve({
            status,
            location: incoming.headers.location ?? '',
            body: Buffer.concat(chunks),
            detail: `answered ${status}`,
          }),
        );
      },
    );
    outgoing.on('error', (error) =>
      silent(bound.aborted ? `no answer within ${timeoutMs} ms` : `no answer: ${error.message}`),
    );
    outgoing.end();
  });
}

/** `ok`: status 2xx or 3xx and, where asked for, the text found in the body. */
export async function probe(target: ProbeTarget, timeoutMs: number, signal?: AbortSignal): Promise<ProbeResult> {
  const { status, body, detail } = await get(target, timeoutMs, signal);
  if (status === 0) return { status, ok: false, detail };
  const found = target.contains === undefined || body.toString('utf8').includes(target.contains);
  const missing = found ? '' : `, but the page does not contain "${target.contains}"`;
  return { status, ok: status >= 200 && status < 400 && found, detail: `${detail}${missing}` };
}
