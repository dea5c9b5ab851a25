// What one site may use, so that it hurts no other: requests at the edge, PHP in the nodes, connections and statements at the
// database. The edge's come first, since a site that floods its nodes is to be stopped there; only the nodes' start its PHP anew.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import { type Asker, makeOperation, type Operation, type OperationKind } from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { syncPool } from '../pools/sync.ts';
import { type SiteLimits, siteLimits } from '../protocol/site-document.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { type SiteParts, siteLock } from './parts.ts';
import { siteProblems } from './problems.ts';
import { readSite, type SiteRow, storeLimits } from './store.ts';

type Limit = keyof SiteLimits;

const OF_NODES: readonly Limit[] = ['phpWorkers', 'phpMemoryMb', 'requestTimeoutS', 'uploadMb'];
const OF_DATABASE: readonly Limit[] = ['databaseConnections', 'statementTimeS'];
const WORDS: Record<Limit, string> = {
  phpWorkers: 'PHP processes on each node',
  phpMemoryMb: 'MiB of memory for a request',
  requestTimeoutS: 'seconds for a request',
  uploadMb: 'MiB for an upload',
  requestsPerS: 'requests a second',
  connections: 'requests at once',
  databaseConnections: 'connections to the database',
  statementTimeS: 'seconds for a statement',
};

const { shape } = siteLimits;
/** What is not named stays; null goes back to what the app's recipe says. */
export const limitChangesSchema = z
  .strictObject({
    phpWorkers: shape.phpWorkers.nullish(),
    phpMemoryMb: shape.phpMemoryMb.nullish(),
    requestTimeoutS: shape.requestTimeoutS.nullish(),
    uploadMb: shape.uploadMb.nullish(),
    requestsPerS: shape.requestsPerS.nullish(),
    connections: shape.connections.nullish(),
    databaseConnections: shape.databaseConnections.nullish(),
    statementTimeS: shape.statementTimeS.nullish(),
  } satisfies Record<Limit, z.ZodType>)
  .refine((changes) => Object.values(changes).some((value) => value !== undefined), 'must name at least one limit');
export type LimitChanges = z.infer<typeof limitChangesSchema>;

const paramsSchema = z.object({ site: z.string(), name: z.string(), limits: siteLimits, before: siteLimits });
type Params = z.infer<typeof paramsSchema>;

const differ = (keys: readonly Limit[], one: SiteLimits, other: SiteLimits): Limit[] =>
  keys.filter((key) => one[key] !== other[key]);

/** What a change means, for people. Pure. */
export function planLimits({ limits, before }: Pick<Params, 'limits' | 'before'>): string[] {
  const changed = differ(Object.keys(WORDS) as Limit[], limits, before);
  if (changed.length === 0) return ['It has these limits already.'];
  const lines = changed.map((key) => `At most ${limits[key]} ${WORDS[key]}; until now ${before[key]}.`);
  return differ(OF_NODES, limits, before).length === 0
    ? lines
    : [...lines, 'Its PHP starts anew with it on each of its nodes.'];
}

/** Begins `site.set-limits` in the caller's transaction. */
export async function startSetLimits(
  parts: SiteParts,
  sql: Sql,
  idOrName: string,
  changes: LimitChanges,
  who: Asker,
): Promise<Operation> {
  const site = await readSite(sql, idOrName);
  if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name: idOrName });
  const { id, name, state, limits: before } = site;
  if (state !== 'ready' && state !== 'suspended')
    throw siteProblems.make('wrong-state', { site: name, state, verb: 'limit', needed: 'ready or suspended' });
  const own = parts.readRecipe(site.app)?.site?.limits ?? before;
  const limits = siteLimits.parse(
    Object.fromEntries(
      (Object.keys(WORDS) as Limit[]).map((key) => {
        const wished = changes[key];
        return [key, wished === null ? own[key] : (wished ?? before[key])];
      }),
    ),
  );
  return parts.operations.start(sql, 'site.set-limits', { site: id, name, limits, before }, who);
}

/** The operation `site.set-limits`. */
export function makeSiteSetLimits(parts: SiteParts): OperationKind<Params> {
  const { store, events, databases, pools } = parts;

  async function limitDatabase({ id, databaseServer }: SiteRow, limits: SiteLimits, signal: AbortSignal) {
    if (databaseServer === null) return;
    const { databaseConnections: connections, statementTimeS } = limits;
    await databases.setLimits(databaseServer, id, { connections, statementTimeS }, signal);
  }

  return makeOperation<Params>({
    kind: 'site.set-limits',
    params: paramsSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name }) => `Change what ${name} may use`,
    steps: ({ site: id, name, limits, before }) => {
      const isOfDatabase = differ(OF_DATABASE, limits, before).length > 0;
      const apply = async (wanted: SiteLimits, signal: AbortSignal): Promise<void> => {
        await changeConfig(store, (sql, version) => storeLimits(sql, id, wanted, version));
        const site = await readSite(store, id);
        if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name });
        await pools.syncEdges(signal);
        if (isOfDatabase) await limitDatabase(site, wanted, signal);
        await syncPool(pools, site.pool, signal);
      };
      return [
        {
          name: 'apply',
          timeoutMs: 120_000,
          do: ({ signal }) => apply(limits, signal),
          undo: ({ signal }) => apply(before, signal),
        },
        {
          name: 'note',
          timeoutMs: 10_000,
          async do({ operationId }) {
            const by = `operation:${operationId}`;
            await events.append(store, {
              ...{ kind: 'site.limits-set', subject: siteLock(id), by, data: { limits, before } },
              reason: planLimits({ limits, before }).join(' '),
            });
          },
        },
      ];
    },
  });
}
