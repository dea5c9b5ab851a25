// What the recipe's own command finds in data from elsewhere: addresses, version, and what the image lacks.
import { z } from 'zod';
import { readVersionOf } from '../image-of.ts';
import { execInSite } from '../nodes.ts';
import type { SiteParts } from '../parts.ts';
import type { PlacedSite } from '../snapshots/take.ts';
import { transferProblems } from './problems.ts';

/** Bound of that command, which looks at a few rows. */
export const READ_MS = 120_000;
const OUTPUT_SHOWN = 1_500;

/** What a recipe's `read` prints. */
const readSchema = z.object({
  links: z.array(z.string()),
  version: z.string(),
  isNewer: z.boolean(),
  missing: z.array(z.string()),
  needed: z.array(z.string()).default([]),
  refuse: z.string().optional(),
});
export type FoundData = z.infer<typeof readSchema>;

/** Has the recipe's command look at the loaded data; the problem says why they cannot be taken in. */
export async function readAdopted(
  parts: SiteParts,
  site: PlacedSite,
  argv: readonly string[],
  texts: Record<string, string>,
  signal: AbortSignal,
): Promise<FoundData> {
  const command = { argv, stdin: JSON.stringify({ texts }), timeoutMs: READ_MS };
  const { code, stdout, stderr } = await execInSite(parts, site, command, signal);
  const failed = (output: string) =>
    transferProblems.make('read-failed', { site: site.name, code, output: output.trim().slice(-OUTPUT_SHOWN) });
  if (code !== 0) throw failed(`${stdout}\n${stderr}`);
  const parsed = readSchema.safeParse(toJson(stdout));
  if (!parsed.success) throw failed(`its answer is not understood: ${stdout}`);
  const { data: found } = parsed;
  if (found.refuse !== undefined) throw transferProblems.make('wrong-dump', { app: site.app, why: found.refuse });
  if (found.isNewer) {
    const has = await readVersionOf(parts.store, site);
    throw transferProblems.make('newer-app', { app: site.app, version: found.version, pool: site.pool, has });
  }
  return found;
}

function toJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
