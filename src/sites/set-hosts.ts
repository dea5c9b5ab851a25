// Gives a site other host names. The names are taken in the transaction that begins the operation, so that nobody else
// gets them meanwhile; when it fails the site has its old ones again.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { changeConfig, takeConfigVersion } from '../servers/config-clock.ts';
import { assertHostsFree, newSiteSchema } from './admit.ts';
import { enterState } from './nodes.ts';
import { type SiteParts, siteLock } from './parts.ts';
import { siteProblems } from './problems.ts';
import { readSite, replaceHosts } from './store.ts';

export const siteHostsSchema = newSiteSchema.pick({ hosts: true });

const paramsSchema = z.object({
  site: z.string(),
  name: z.string(),
  hosts: z.array(z.string()),
  before: z.array(z.string()),
});
type Params = z.infer<typeof paramsSchema>;

/** Begins `site.set-hosts` in the caller's transaction. */
export async function startSetHosts(
  parts: SiteParts,
  sql: Sql,
  idOrName: string,
  hosts: readonly string[],
  who: Asker,
): Promise<Operation> {
  await takeConfigVersion(sql);
  const site = await readSite(sql, idOrName);
  if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name: idOrName });
  if (site.state !== 'ready' && site.state !== 'suspended') {
    throw siteProblems.make('wrong-state', {
      site: site.name,
      state: site.state,
      verb: 'rename',
      needed: 'ready or suspended',
    });
  }
  await assertHostsFree(sql, hosts, site.id);
  const params = { site: site.id, name: site.name, hosts: [...hosts], before: site.hosts };
  const operation = await parts.operations.start(sql, 'site.set-hosts', params, who);
  await replaceHosts(sql, site.id, hosts);
  return operation;
}

/** The operation `site.set-hosts`. */
export function makeSiteSetHosts(parts: SiteParts): OperationKind<Params> {
  const { store, events } = parts;
  return makeOperation<Params>({
    kind: 'site.set-hosts',
    params: paramsSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name, hosts }) => `Set the host names of ${name} to ${hosts.join(', ')}`,
    steps: ({ site: id, name, hosts, before }) => {
      const settle = async (signal: AbortSignal) => {
        const site = await readSite(store, id);
        if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name });
        const state = site.state === 'suspended' ? 'suspended' : 'ready';
        await enterState(parts, site, { state, reason: site.reason, first: 'nodes' }, signal);
      };
      return [
        {
          name: 'apply',
          timeoutMs: 120_000,
          do: ({ signal }) => settle(signal),
          async undo({ signal }) {
            await changeConfig(store, async (sql) => {
              await replaceHosts(sql, id, before);
            });
            await settle(signal);
          },
        },
        {
          name: 'note',
          timeoutMs: 10_000,
          async do() {
            await events.append(store, {
              kind: 'site.hosts-set',
              subject: siteLock(id),
              by: 'operation',
              data: { hosts, before },
            });
          },
        },
      ];
    },
  });
}
