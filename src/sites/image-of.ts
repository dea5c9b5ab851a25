// The image on which a site's nodes run. Apart because a pool may have two while waves bring its sites from one to the other.

import { readImage } from '../images/store.ts';
import type { Sql } from '../platform/store.ts';
import { listGenerations } from '../pools/generations.ts';
import { readPool } from '../pools/store.ts';
import type { SiteRow } from './store.ts';

type Placed = Pick<SiteRow, 'pool' | 'generation'>;

/** The number of the image of the site's generation; 0 when there is none. */
export async function readImageNumberOf(sql: Sql, { pool, generation }: Placed): Promise<number> {
  const row = await readPool(sql, pool);
  const own = row && listGenerations(row).find((one) => one.generation === generation);
  return own?.imageNumber ?? 0;
}

/** The app's version in that image; empty when it is not known. */
export async function readVersionOf(sql: Sql, site: Placed & Pick<SiteRow, 'app'>): Promise<string> {
  return (await readImage(sql, site.app, await readImageNumberOf(sql, site)))?.appVersion ?? '';
}
