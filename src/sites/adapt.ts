// Fits data that came from elsewhere or from before to the site that it now belongs to: links to old addresses, tables of
// an older version. By the app's own commands, as the site's user.
import { readSiteRecipe } from './admit.ts';
import { execInSite } from './nodes.ts';
import { type SiteParts, urlOf } from './parts.ts';
import { siteProblems } from './problems.ts';
import type { SiteRow } from './store.ts';

/** Bound of one of the app's commands over a large database. */
export const ADAPT_MS = 1_800_000;
const OUTPUT_SHOWN = 1_500;

/** Hosts of this deployment as links name them: with the port that visitors write, and without. */
export const linksOf = (parts: SiteParts, hosts: readonly string[]): string[] => [
  ...new Set(hosts.flatMap((host) => [new URL(urlOf(parts.publicAddress, host)).host, host])),
];

/**
 * Rewrites links to `from` (hosts with or without port) and upgrades the tables when they are of an older version. Gives the
 * last words of what ran.
 */
export async function adaptSite(
  parts: SiteParts,
  site: SiteRow,
  { from, isOlder }: { from: readonly string[]; isOlder: boolean },
  signal: AbortSignal,
): Promise<{ output: string }> {
  const { rewrite, upgrade } = readSiteRecipe(parts, site.app).site;
  const said: string[] = [];
  // The tables first: an app's own command for links may need the newest ones.
  if (isOlder) said.push(await runOwn(parts, site, 'upgrade', { argv: upgrade }, signal));
  if (rewrite !== undefined && from.length > 0) {
    const stdin = JSON.stringify({ from, to: urlOf(parts.publicAddress, site.hosts[0] ?? '') });
    said.push(await runOwn(parts, site, 'rewrite', { argv: rewrite, stdin }, signal));
  }
  return { output: said.join('\n').slice(-OUTPUT_SHOWN) };
}

async function runOwn(
  parts: SiteParts,
  site: SiteRow,
  what: 'rewrite' | 'upgrade',
  command: { argv: readonly string[]; stdin?: string },
  signal: AbortSignal,
): Promise<string> {
  const { code, stdout, stderr } = await execInSite(parts, site, { ...command, timeoutMs: ADAPT_MS }, signal);
  const output = `${stdout}\n${stderr}`.trim().slice(-OUTPUT_SHOWN);
  if (code !== 0) throw siteProblems.make(`${what}-failed`, { site: site.name, code, output });
  return output;
}
