// Somebody who keeps looking at a site through the edge, a few requests at a time, and counts what went wrong. Apart
// because several tests break things underneath.
import type { LiveApi } from './live-api.ts';

export interface Visitor {
  /** Good and bad answers since it was asked last. */
  take(): { good: number; bad: string[] };
  /** Ends the visits; resolves when the last answer is there. */
  stop(): Promise<void>;
}

const PAUSE_MS = 100;

/** Begins visiting: `atOnce` visitors, each asking again shortly after its answer. A good answer is 200 with `words`. */
export function startVisitor(api: LiveApi, site: { host: string; path: string; words: string }, atOnce = 2): Visitor {
  const stopping = new AbortController();
  let good = 0;
  let bad: string[] = [];

  async function visit(): Promise<void> {
    while (!stopping.signal.aborted) {
      const at = new Date().toISOString();
      try {
        const { status, body } = await api.visit(site.host, site.path);
        if (status === 200 && body.includes(site.words)) good += 1;
        else bad.push(`${at} ${status} ${body.subarray(0, 80).toString()}`);
      } catch (thrown) {
        bad.push(`${at} ${thrown instanceof Error ? thrown.message : String(thrown)}`);
      }
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
    async stop() {
      stopping.abort();
      await Promise.all(visits);
    },
  };
}
