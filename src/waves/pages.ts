// The key pages of a site before and after its upgrade. What a page shows is reduced to a few facts that are kept and
// compared; the rule is a pure function. Visitors' own data is not kept: of the text there are only hashes of words.
import { createHash } from 'node:crypto';
import { AGENT_CALL_MS } from '../pools/parts.ts';
import type { NodeRow } from '../pools/store.ts';
import { readServingNodes } from '../sites/nodes.ts';
import { type SiteParts, urlOf } from '../sites/parts.ts';
import type { SiteRow } from '../sites/store.ts';

/** A page, reduced. */
export interface PageFacts {
  path: string;
  /** 0: no answer. */
  status: number;
  /** Where a redirect leads to, without host and query. */
  location: string;
  title: string;
  /** How often each word of errors is on it. */
  errors: Record<string, number>;
  /** The smallest hashes of its different words (bottom-k sketch, Broder 1997): two sketches tell how alike two texts are. */
  words: number[];
}

/** Words that a page shows when its code has failed; small letters. */
const ERROR_WORDS = [
  'fatal error',
  'parse error',
  'uncaught ',
  'stack trace',
  'critical error on this website',
  'error establishing a database connection',
  'database error',
  'internal error',
  '<b>warning</b>:',
  '<b>deprecated</b>:',
  '<b>notice</b>:',
];
/** So many hashes tell the likeness to about a twentieth. */
const SKETCH = 256;
/** Less alike is another page. A changed theme's footer or a new menu entry is far above it, an error's page far below. */
const ALIKE = 0.7;
/** A text of fewer words says too little to be compared. */
const WORDS_TO_COMPARE = 12;

/** Digits become 0: times, counters and versions are no difference. */
const evenOut = (text: string): string => text.toLowerCase().replaceAll(/\d+/g, '0').replaceAll(/\s+/g, ' ').trim();

function toText(body: string): string {
  const bare = body
    .replaceAll(/<(script|style|template|noscript)\b[\s\S]*?<\/\1\s*>/gi, ' ')
    .replaceAll(/<!--[\s\S]*?-->/g, ' ')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/&[a-z#0-9]+;/gi, ' ');
  return evenOut(bare);
}

/** Reduces an answer to its facts. */
export function toFacts(path: string, answer: { status: number; location: string; body: string }): PageFacts {
  const { status, location, body } = answer;
  const lower = body.toLowerCase();
  const counts = ERROR_WORDS.map((word): [string, number] => [word.trim(), lower.split(word).length - 1]);
  const words = new Set(toText(body).match(/[\p{L}\p{N}]{2,}/gu) ?? []);
  const hashes = [...words].map((word) => createHash('sha1').update(word).digest().readUInt32BE(0));
  return {
    path,
    status,
    location: location.replace(/^https?:\/\/[^/]+/, '').replace(/[?#].*$/, ''),
    title: evenOut(/<title[^>]*>([\s\S]*?)<\/title>/i.exec(body)?.[1] ?? '').slice(0, 200),
    errors: Object.fromEntries(counts.filter(([, count]) => count > 0)),
    words: [...new Set(hashes)].sort((one, other) => one - other).slice(0, SKETCH),
  };
}

/** How alike two texts are by their sketches: the share of common words in all words, 0 to 1. */
export function likeness(one: readonly number[], other: readonly number[]): number {
  const all = [...new Set([...one, ...other])].sort((a, b) => a - b).slice(0, SKETCH);
  if (all.length === 0) return 1;
  const [first, second] = [new Set(one), new Set(other)];
  return all.filter((hash) => first.has(hash) && second.has(hash)).length / all.length;
}

/** Why the pages are worse than before; undefined when they are not. A page that failed before proves nothing. */
export function comparePages(before: readonly PageFacts[], after: readonly PageFacts[]): string | undefined {
  for (const old of before) {
    const now = after.find(({ path }) => path === old.path);
    if (now === undefined || old.status === 0 || old.status >= 500) continue;
    if (now.status !== old.status)
      return `${old.path} answered ${old.status} before and ${now.status || 'nothing'} now`;
    if (now.location !== old.location)
      return `${old.path} led to ${old.location} before and leads to ${now.location} now`;
    for (const [word, count] of Object.entries(now.errors)) {
      if (count > (old.errors[word] ?? 0)) return `${old.path} says "${word}" now`;
    }
    if (now.title !== old.title) return `${old.path} was titled "${old.title}" before and "${now.title}" now`;
    const alike = likeness(old.words, now.words);
    if (old.words.length >= WORDS_TO_COMPARE && alike < ALIKE) {
      return `${old.path} shares only ${Math.round(alike * 100)} % of its words with what it was before`;
    }
  }
  return undefined;
}

/** Reads pages of a site from one of its nodes. */
export async function readPages(
  parts: SiteParts,
  site: SiteRow,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<PageFacts[]> {
  const [node] = await readServingNodes(parts, site);
  const host = new URL(urlOf(parts.publicAddress, site.hosts[0] ?? '')).host;
  const facts: PageFacts[] = [];
  for (const path of paths) facts.push(toFacts(path, await readPage(parts, node, { host, path }, signal)));
  return facts;
}

async function readPage(
  parts: SiteParts,
  node: NodeRow & { server: string; address: string },
  { host, path }: { host: string; path: string },
  signal: AbortSignal,
) {
  const target = { address: node.address, host, path };
  return parts.pools.agents.call(node.server, 'node.read-page', target, { timeoutMs: AGENT_CALL_MS, signal });
}
