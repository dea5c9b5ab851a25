// Somebody who keeps looking at a site through the edge, a few requests at a time, and counts what went wrong. Apart
// because several tests break things underneath.
import type { LiveApi } from './live-api.ts';

export interface Visitor {
  /** Good and bad answers since it was asked last. */
  take(): { good: number; bad: string[] };
  /** Counts only what is asked from now on: what was under way through an outage may still fail. */
  renew(): void;
  /** Ends the visits; resolves when the last answer is there. */
  stop(): Promise<void>;
}

const PAUSE_MS = 100;

/** Begins visiting: `atOnce` visitors, each asking again shortly after its answer. A good answer is 200 with `words`. */
export function startVisitor(api: LiveApi, site: { host: string; path: string; words: string }, atOnce = 2): Visitor {
  const stopping = new AbortController();
  let good = 0;
  let bad: string[] = [];
  let fromMs = Number.NEGATIVE_INFINITY;

  async function visit(): Promise<void> {
    while (!stopping.signal.aborted) {
      const [at, beganMs] = [new Date().toISOString(), performance.now()];
      const wrong = await api.visit(site.host, site.path).then(
        ({ status, body }) =>
          status === 200 && body.includes(site.words) ? undefined : `${status} ${body.subarray(0, 80).toString()}`,
        (thrown: unknown) => (thrown instanceof Error ? thrown.message : String(thrown)),
      );
      if (beganMs >= fromMs && wrong === undefined) good += 1;
      else if (beganMs >= fromMs) bad.push(`${at} ${wrong}`);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  const visits = Array.from({ length: atOnce }, visit);
  return {
    take() {
      const taken = { good, bad };
      good = 0;
      bad = [];
      return taken;
    },
    renew() {
      fromMs = performance.now();
      [good, bad] = [0, []];
    },
    async stop() {
      stopping.abort();
      await Promise.all(visits);
    },
  };
}
