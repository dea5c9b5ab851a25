// Visits pages as a browser's request would, over kept connections. Apart from the load, which counts and does not look.
import { Pool } from 'undici';

export interface Answer {
  status: number;
  body: string;
}

export interface Visitor {
  get(host: string, path?: string): Promise<Answer>;
  close(): Promise<void>;
}

const ANSWER_MS = 30_000;

/** Visits at `origin` (`http://127.0.0.1:8080`), whatever the host. */
export function makeVisitor(origin: string, connections = 8): Visitor {
  const pool = new Pool(origin, { connections, headersTimeout: ANSWER_MS, bodyTimeout: ANSWER_MS, pipelining: 1 });
  return {
    async get(host, path = '/') {
      const { statusCode, body } = await pool.request({ method: 'GET', path, headers: { host } });
      return { status: statusCode, body: await body.text() };
    },
    close: () => pool.destroy(),
  };
}

/** True for the page itself: a good answer that holds the text. */
export const isPage = (answer: Answer | undefined, contains: string): boolean =>
  answer?.status === 200 && answer.body.includes(contains);

/** Asks every `everyMs` until the page is there; gives the wall time (Unix epoch, ms) at which it was. */
export async function untilServed(
  visitor: Visitor,
  page: { host: string; path?: string; contains: string },
  bounds: { everyMs: number; timeoutMs: number },
): Promise<number> {
  const endMs = performance.now() + bounds.timeoutMs;
  for (;;) {
    const answer = await visitor.get(page.host, page.path).catch(() => undefined);
    if (isPage(answer, page.contains)) return performance.timeOrigin + performance.now();
    if (performance.now() > endMs) {
      const last = answer === undefined ? 'no answer' : `${answer.status}: ${answer.body.slice(0, 200)}`;
      throw new Error(`${page.host} was not served within ${bounds.timeoutMs} ms; last ${last}`);
    }
    await new Promise((resolve) => setTimeout(resolve, bounds.everyMs));
  }
}
