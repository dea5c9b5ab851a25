// Holds a site's mail back, or lets it go: its nodes take the change, and its PHP starts anew with it.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { syncPool } from '../pools/sync.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { type SiteParts, siteLock } from './parts.ts';
import { siteProblems } from './problems.ts';
import { readSite, storeMailHeld } from './store.ts';

const paramsSchema = z.object({ site: z.string(), name: z.string(), held: z.boolean(), before: z.boolean() });
type Params = z.infer<typeof paramsSchema>;

/** Begins `site.set-mail` in the caller's transaction. */
export async function startSetMail(
  parts: SiteParts,
  sql: Sql,
  idOrName: string,
  held: boolean,
  who: Asker,
): Promise<Operation> {
  const site = await readSite(sql, idOrName);
  if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name: idOrName });
  const { id, name, state, mailHeld: before } = site;
  if (state !== 'ready' && state !== 'suspended') {
    const verb = held ? 'hold the mail of' : 'let the mail go of';
    throw siteProblems.make('wrong-state', { site: name, state, verb, needed: 'ready or suspended' });
  }
  return parts.operations.start(sql, 'site.set-mail', { site: id, name, held, before }, who);
}

/** The operation `site.set-mail`. */
export function makeSiteSetMail(parts: SiteParts): OperationKind<Params> {
  const { store, events } = parts;
  return makeOperation<Params>({
    kind: 'site.set-mail',
    params: paramsSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name, held }) => (held ? `Hold the mail of ${name} back` : `Let the mail of ${name} go`),
    steps: ({ site: id, name, held, before }) => {
      const apply = async (isHeld: boolean, signal: AbortSignal) => {
        await changeConfig(store, (sql, version) => storeMailHeld(sql, id, isHeld, version));
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
            const kind = held ? 'site.mail-held' : 'site.mail-released';
            await events.append(store, { kind, subject: siteLock(id), by: 'operation', data: { name } });
          },
        },
      ];
    },
  });
}
