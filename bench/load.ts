// A load that counts every request which did not get its page: for what must never fail. For throughput see wrk.ts.
import { Pool } from 'undici';

/** So many workers ask for one page, each again after its answer and a pause. */
export interface LoadPart {
  host: string;
  method: 'GET' | 'POST';
  path: string;
  workers: number;
  pauseMs: number;
}

export interface LoadReport {
  requests: number;
  failed: number;
  /** By what was asked and what came instead: `GET /: 503`. */
  failures: Record<string, number>;
  /** The longest wait for an answer. */
  longestMs: number;
}

export interface Load {
  /** Ends it after the requests under way. */
  stop(): Promise<LoadReport>;
}

const ANSWER_MS = 60_000;

/** Starts asking at `origin`; `onPage` hears of each good answer which node it came from and how long it took. Nothing is ever asked twice. */
export function startLoad(
  origin: string,
  parts: readonly LoadPart[],
  onPage: (node: string, from: LoadPart, tookMs: number) => void,
): Load {
  const connections = parts.reduce((sum, { workers }) => sum + workers, 0);
  const pool = new Pool(origin, { connections, pipelining: 1, headersTimeout: ANSWER_MS, bodyTimeout: ANSWER_MS });
  const report: LoadReport = { requests: 0, failed: 0, failures: {}, longestMs: 0 };
  let running = true;

  async function ask(part: LoadPart): Promise<string | undefined> {
    const { host, method, path } = part;
    const askedMs = performance.now();
    try {
      const body = method === 'POST' ? 'a=1' : null;
      const answer = await pool.request({ method, path, headers: { host }, body });
      await answer.body.dump();
      if (answer.statusCode !== 200) return String(answer.statusCode);
      onPage(String(answer.headers['x-node']), part, performance.now() - askedMs);
      return undefined;
    } catch (thrown) {
      return thrown instanceof Error ? thrown.message : String(thrown);
    }
  }

  async function work(part: LoadPart): Promise<void> {
    while (running) {
      const startedMs = performance.now();
      const wrong = await ask(part);
      report.requests += 1;
      report.longestMs = Math.max(report.longestMs, performance.now() - startedMs);
      if (wrong !== undefined) {
        const what = `${part.method} ${part.path}: ${wrong}`;
        report.failed += 1;
        report.failures[what] = (report.failures[what] ?? 0) + 1;
      }
      await new Promise((resolve) => setTimeout(resolve, part.pauseMs));
    }
  }

  const workers = parts.flatMap((part) => Array.from({ length: part.workers }, () => work(part)));
  return {
    async stop() {
      running = false;
      await Promise.all(workers);
      await pool.destroy();
      return { ...report, longestMs: Math.round(report.longestMs) };
    },
  };
}
