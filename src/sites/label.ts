// Labels: what people say of sites, to choose them by. They change nothing on nodes or edges.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import type { Asker } from '../platform/operations/operation.ts';
import { type SiteParts, siteLock } from './parts.ts';
import { siteProblems } from './problems.ts';
import { readSite, type SiteRow, storeLabels } from './store.ts';

const key = z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, 'must be a-z, 0-9 and "-", begin with a letter');
const value = z.string().regex(/^[^=\s]{1,60}$/, 'must be 1 to 60 characters without spaces and "="');
/** Null takes a label away. */
export const labelsSchema = z.record(key, value.nullable());

const MOST = 32;

/** Changes a site's labels; those that are not named stay. */
export async function setLabels(
  parts: SiteParts,
  name: string,
  changes: z.infer<typeof labelsSchema>,
  who: Asker,
): Promise<SiteRow> {
  return parts.store.transaction(async (sql) => {
    const site = await readSite(sql, name);
    if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name });
    await storeLabels(sql, site.id, changes);
    const after = await readSite(sql, site.id);
    if (after === undefined) throw commonProblems.make('not-found', { noun: 'site', name });
    if (Object.keys(after.labels).length > MOST) throw siteProblems.make('too-many-labels', { site: name, most: MOST });
    const said = Object.entries(changes).map(([label, now]) =>
      now === null ? `${label} taken away` : `${label}=${now}`,
    );
    const reason = who.reason ?? said.join(', ');
    await parts.events.append(sql, { kind: 'site.labelled', subject: siteLock(site.id), by: who.by, reason });
    return after;
  });
}
