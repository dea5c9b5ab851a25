// Takes the copy of a site off a seed: the copy goes at once, with its data, and the pool of which the seed was the only node;
// the seed stays, with all that was changed in it.
import { z } from 'zod';
import { seedLock } from '../images/parts.ts';
import { readReadySeed } from '../images/seed-bake.ts';
import { seedInstance } from '../images/seed-store.ts';
import { commonProblems } from '../lib/errors.ts';
import {
  type Asker,
  makeOperation,
  type Operation,
  type OperationKind,
  type StepContext,
} from '../platform/operations/operation.ts';
import { askerOf, runChild } from '../platform/operations/run-child.ts';
import type { Sql } from '../platform/store.ts';
import { startPoolDelete } from '../pools/delete.ts';
import { poolLock } from '../pools/parts.ts';
import { readPool } from '../pools/store.ts';
import { startSiteDelete } from './delete.ts';
import { type SiteParts, siteLock } from './parts.ts';
import { listSites, readSite } from './store.ts';

const paramsSchema = z.object({ seed: z.string() });
type Params = z.infer<typeof paramsSchema>;

const REMOVE_MS = 1_800_000;

/** Begins `seed.unstage` in the caller's transaction. */
export async function startUnstaging(parts: SiteParts, sql: Sql, seed: string, who: Asker): Promise<Operation> {
  await readReadySeed(sql, seed);
  if ((await readPool(sql, seedInstance(seed))) === undefined)
    throw commonProblems.make('not-found', { noun: 'copy of a site on the seed', name: seed });
  return parts.operations.start(sql, 'seed.unstage', { seed }, who);
}

/** The operation `seed.unstage`. It cannot be undone: begun again it goes on. */
export function makeUnstaging(parts: SiteParts): OperationKind<Params> {
  const { store } = parts;
  return makeOperation<Params>({
    kind: 'seed.unstage',
    params: paramsSchema,
    locks: ({ seed }) => [seedLock(seed)],
    title: ({ seed }) => `Take the copy off the seed ${seed}`,
    steps: ({ seed }) => {
      const pool = seedInstance(seed);
      return [
        { name: 'site', timeoutMs: REMOVE_MS, do: (ctx) => removeStaged(parts, pool, ctx) },
        {
          name: 'pool',
          timeoutMs: REMOVE_MS,
          async do(ctx) {
            if ((await readPool(store, pool)) === undefined) return;
            // The last backup of a copy is of no use to anybody.
            const wish = { name: pool, deleteBackups: true };
            const begin = (sql: Sql) => startPoolDelete(parts.pools, sql, wish, askerOf(ctx));
            await runChild(parts, { kind: 'pool.delete', lock: poolLock(pool), begin }, ctx.signal);
          },
        },
      ];
    },
  });
}

/** Removes the site that lives on a pool, at once and for good. */
export async function removeStaged(parts: SiteParts, pool: string, ctx: StepContext): Promise<void> {
  const { store, operations } = parts;
  const [site] = await listSites(store, { pool });
  if (site === undefined) return;
  const lock = siteLock(site.id);
  const who = { ...askerOf(ctx), reason: 'the copy is taken off its seed' };
  if (site.state === 'ready' || site.state === 'suspended') {
    const begin = (sql: Sql) => startSiteDelete(parts, sql, site.id, 0, who);
    await runChild(parts, { kind: 'site.delete', lock, begin }, ctx.signal);
  }
  const begin = (sql: Sql) => operations.start(sql, 'site.purge', { site: site.id, name: site.name }, who);
  try {
    if ((await readSite(store, site.id)) !== undefined)
      await runChild(parts, { kind: 'site.purge', lock, begin }, ctx.signal);
  } catch (thrown) {
    // The loop that purges was quicker.
    if ((await readSite(store, site.id)) !== undefined) throw thrown;
  }
}
