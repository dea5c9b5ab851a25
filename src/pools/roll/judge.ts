// Whether nodes of a new image serve as well as the old ones: decisions over what was measured, each with its sentence.
// Pure, so that every rule is tested without a node.

/** One page as one node answered it. */
export interface PageAnswer {
  /** `https://host/path` as people would say it. */
  page: string;
  ok: boolean;
  detail: string;
  durationMs: number;
}

/** What the edges counted of a node since it came, or within a window. */
export interface Traffic {
  requests: number;
  /** Answers from 500 on, connections that failed, answers that broke off. */
  errors: number;
  /** Mean until the answer's first byte. */
  responseTimeMs: number;
}

// A slow image is one that doubles the time and adds what a visitor notices; less is the noise of a busy machine.
const SLOWER_FACTOR = 2;
const SLOWER_MS = 250;
// Fewer requests than this say nothing of the mean.
const REQUESTS_FOR_TIME = 20;
// A single error may be the site's own; three within a window, and a share that the old nodes do not have, are the image's.
const ERRORS = 3;
const ERROR_SHARE = 0.02;

/** Why the new node must not serve; undefined when its pages are as good. What fails on the old one too is the site's own fault. */
export function judgePages(fresh: readonly PageAnswer[], old: readonly PageAnswer[]): string | undefined {
  for (const answer of fresh) {
    const other = old.find(({ page }) => page === answer.page);
    if (other !== undefined && !other.ok) continue;
    if (!answer.ok)
      return `${answer.page} ${answer.detail}${other === undefined ? '' : ', and works on the old nodes'}`;
    if (other !== undefined && isSlower(answer.durationMs, other.durationMs)) {
      return `${answer.page} took ${ms(answer.durationMs)}, on the old nodes ${ms(other.durationMs)}`;
    }
  }
  return undefined;
}

/** Why the new nodes must leave the edge; undefined when the edge counted nothing against them. */
export function judgeTraffic(fresh: Traffic, old: Traffic): string | undefined {
  const [mine, theirs] = [share(fresh), share(old)];
  if (fresh.errors >= ERRORS && mine > theirs + ERROR_SHARE) {
    return `${fresh.errors} of ${fresh.requests} requests failed on the new nodes (${percent(mine)}; ${percent(theirs)} on the old ones)`;
  }
  const known = fresh.requests >= REQUESTS_FOR_TIME && old.requests >= REQUESTS_FOR_TIME;
  if (known && isSlower(fresh.responseTimeMs, old.responseTimeMs)) {
    return `the new nodes answer in ${ms(fresh.responseTimeMs)}, the old ones in ${ms(old.responseTimeMs)}`;
  }
  return undefined;
}

/** Several nodes as one. The slowest mean counts, weighed by nothing: one bad node is enough. */
export function sumTraffic(parts: readonly Traffic[]): Traffic {
  return {
    requests: parts.reduce((sum, one) => sum + one.requests, 0),
    errors: parts.reduce((sum, one) => sum + one.errors, 0),
    responseTimeMs: Math.max(0, ...parts.map((one) => one.responseTimeMs)),
  };
}

/** What was counted between two readings. A counter that went back began anew with its edge. */
export function subtractTraffic(now: Traffic, before: Traffic): Traffic {
  if (now.requests < before.requests) return now;
  return {
    requests: now.requests - before.requests,
    errors: Math.max(0, now.errors - before.errors),
    responseTimeMs: now.responseTimeMs,
  };
}

const isSlower = (mine: number, theirs: number): boolean => mine > theirs * SLOWER_FACTOR && mine > theirs + SLOWER_MS;
const share = ({ requests, errors }: Traffic): number => (requests === 0 ? Math.min(1, errors) : errors / requests);
const percent = (part: number): string => `${(part * 100).toFixed(0)} %`;
const ms = (value: number): string => `${Math.round(value)} ms`;
