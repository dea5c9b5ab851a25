// A number that a site tells of itself, as a metric: its URL is asked at the edge like a visitor would, and only of host names
// whose sites live on the pool. Wrong is a policy that asks for one whose last answer is older than ASK_MS.
import { request } from 'undici';
import type { Sql } from '../platform/store.ts';
import { readPool } from '../pools/store.ts';
import { readSiteByHost } from '../sites/store.ts';
import type { VotesParts } from './parts.ts';
import { listPolicies, storeSiteNumber } from './store.ts';

export const ASK_MS = 5_000;
const ANSWER_MS = 3_000;
const MOST_CHARACTERS = 1_000;

/** A number alone, or the member `value` of a JSON object; undefined when it is neither. */
export function parseSiteNumber(text: string): number | undefined {
  const plain = text.trim();
  if (/^[+-]?\d+(\.\d+)?$/.test(plain)) return Number(plain);
  try {
    const { value } = JSON.parse(plain) as { value?: unknown };
    return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Asks all URLs once; returns by pool what they said. */
export async function askSiteNumbers(parts: VotesParts, signal: AbortSignal): Promise<Record<string, number | string>> {
  const asked = (await listPolicies(parts.store, parts.at())).flatMap(({ pool, policy }) =>
    policy.siteNumberUrl !== undefined && policy.alerts.some(({ metric }) => metric === 'site-number')
      ? [{ pool, url: new URL(policy.siteNumberUrl) }]
      : [],
  );
  const told: Record<string, number | string> = {};
  await Promise.all(
    asked.map(async ({ pool, url }) => {
      const answer = await askOne(parts, parts.store, pool, url, signal);
      told[pool] = answer.value ?? answer.problem ?? '';
      await storeSiteNumber(parts.store, pool, answer, parts.at());
    }),
  );
  return told;
}

async function askOne(
  parts: VotesParts,
  sql: Sql,
  pool: string,
  url: URL,
  signal: AbortSignal,
): Promise<{ value: number | null; problem: string | null }> {
  const none = (problem: string) => ({ value: null, problem });
  const row = await readPool(sql, pool);
  const site = await readSiteByHost(sql, url.hostname);
  if (site === undefined || (site.pool !== pool && site.pool !== row?.worksFor))
    return none(`no site of the pool has the host ${url.hostname}`);
  const [address] = await parts.listEdgeAddresses(sql);
  if (address === undefined) return none('there is no edge to ask by');
  try {
    const bounds = {
      headersTimeout: ANSWER_MS,
      bodyTimeout: ANSWER_MS,
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    };
    const { statusCode, body } = await request(`http://${address}${url.pathname}${url.search}`, {
      headers: { host: url.host },
      ...bounds,
    });
    const text = (await body.text()).slice(0, MOST_CHARACTERS);
    const value = statusCode === 200 ? parseSiteNumber(text) : undefined;
    if (value !== undefined) return { value, problem: null };
    return none(statusCode === 200 ? `${url.href} answers no number` : `${url.href} answers ${statusCode}`);
  } catch (thrown) {
    return none(`${url.href} does not answer: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  }
}
