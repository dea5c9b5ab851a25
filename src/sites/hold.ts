// Holds back a site's mail, or the addresses that it calls, or lets them go: its nodes take the change, and its PHP starts anew with it.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { syncPool } from '../pools/sync.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { type SiteParts, siteLock } from './parts.ts';
import { siteProblems } from './problems.ts';
import { type Holdable, readSite, storeHoldable } from './store.ts';

const paramsSchema = z.object({
  site: z.string(),
  name: z.string(),
  held: z.boolean(),
  before: z.boolean(),
  what: z.enum(['mail', 'hooks']).default('mail'),
});
type Params = z.infer<typeof paramsSchema>;

/** Begins `site.set-mail`, or `site.set-hooks`, in the caller's transaction. */
export async function startHold(
  parts: SiteParts,
  sql: Sql,
  idOrName: string,
  { what, held }: { what: Holdable; held: boolean },
  who: Asker,
): Promise<Operation> {
  const site = await readSite(sql, idOrName);
  if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name: idOrName });
  const { id, name, state } = site;
  const before = what === 'mail' ? site.mailHeld : site.hooksHeld;
  if (state !== 'ready' && state !== 'suspended') {
    const verb = held ? `hold the ${what} of` : `let the ${what} go of`;
    throw siteProblems.make('wrong-state', { site: name, state, verb, needed: 'ready or suspended' });
  }
  return parts.operations.start(sql, `site.set-${what}`, { site: id, name, held, before, what }, who);
}

/** The operation `site.set-mail` or `site.set-hooks`. */
export function makeSiteHold(parts: SiteParts, what: Holdable): OperationKind<Params> {
  const { store, events } = parts;
  return makeOperation<Params>({
    kind: `site.set-${what}`,
    params: paramsSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name, held }) => (held ? `Hold the ${what} of ${name} back` : `Let the ${what} of ${name} go`),
    steps: ({ site: id, name, held, before }) => {
      const apply = async (isHeld: boolean, signal: AbortSignal) => {
        await changeConfig(store, (sql, version) => storeHoldable(sql, id, what, isHeld, version));
        const site = await readSite(store, id);
        if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name });
        await syncPool(parts.pools, site.pool, signal);
      };
      return [
        {
          name: 'apply',
          timeoutMs: 120_000,
          do: ({ signal }) => apply(held, signal),
          undo: ({ signal }) => apply(before, signal),
        },
        {
          name: 'note',
          timeoutMs: 10_000,
          async do() {
            const kind = held ? `site.${what}-held` : `site.${what}-released`;
            await events.append(store, { kind, subject: siteLock(id), by: 'operation', data: { name } });
          },
        },
      ];
    },
  });
}
