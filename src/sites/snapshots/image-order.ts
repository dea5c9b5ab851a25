// Whether the code of an image reads the tables that another one's code wrote: never those of a newer version of the app.
import { readImage } from '../../images/store.ts';
import type { Sql } from '../../platform/store.ts';
import type { SiteRow } from '../store.ts';
import { snapshotProblems } from './problems.ts';

/** Versions of Debian packages and apps, compared by their numbers: `6.8.1` < `6.10`. Below 0 when the first is older. */
export function compareVersions(one: string, other: string): number {
  const [a, b] = [one, other].map((version) => version.split(/[^0-9]+/).map(Number)) as [number[], number[]];
  for (let at = 0; at < Math.max(a.length, b.length); at += 1) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Throws `snapshot.newer-image` when the snapshot was taken on a newer version of the app than the pool has now. */
export async function assertCodeReads(
  sql: Sql,
  site: Pick<SiteRow, 'name' | 'app'>,
  snapshot: { number: number; imageNumber: number },
  imageNumber: number,
): Promise<void> {
  if (snapshot.imageNumber <= imageNumber) return;
  const [then, now] = [
    await readImage(sql, site.app, snapshot.imageNumber),
    await readImage(sql, site.app, imageNumber),
  ];
  if (then !== undefined && now !== undefined && compareVersions(then.appVersion, now.appVersion) <= 0) return;
  const about = { image: `${site.app}/${snapshot.imageNumber}`, now: `${site.app}/${imageNumber}` };
  throw snapshotProblems.make('newer-image', { site: site.name, number: snapshot.number, ...about });
}
