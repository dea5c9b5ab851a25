// What every change answers to `?dryRun=true`: one shape, by a rehearsal wherever the change is one of the store. Apart from
// http.ts, which only knows requests and answers. A route says `query: dryRunQuery`, `200: planned`, and begins with one of
// the two functions here; a test walks all routes (api/every-dry-run.test.ts).
import type { Context } from 'hono';
import { type ApiEnv, answerAccepted, json, planSchema } from './http.ts';
import type { Operation } from './operations/operation.ts';
import { rehearse } from './rehearse.ts';
import type { Sql, Store } from './store.ts';

/** What would be done, for people. */
export interface Plan {
  plan: string[];
  /** Names of the sites that notice it. */
  sites: string[];
  /** For how long their visitors would wait. */
  pauseS: number;
}

/** The response of a route that answers 202 or 204 in earnest. */
export const planned = json(planSchema, 'With dryRun: what would be done');

const isDryRun = (c: Context<ApiEnv>): boolean => c.req.query('dryRun') === 'true';

/** The same store, of which nothing stays: each transaction, and each statement alone, is taken back. */
export function rehearsing(store: Store): Store {
  const within = <T>(work: (sql: Sql) => Promise<T>): Promise<T> => rehearse(store, work);
  return {
    engine: store.engine,
    transaction: within,
    query: (text, values) => within((sql) => sql.query(text, values)),
    script: (text) => within((sql) => sql.script(text)),
    beforeCommit: async () => {},
    afterCommit: () => {},
    close: async () => {},
  };
}

/** Beyond the title of the operation. */
type About = (operation: Operation) => Partial<Plan> | Promise<Partial<Plan>>;

/** Begins an operation and answers 202; with `dryRun` its beginning is rehearsed and the answer is what it would do. */
export async function beginOrPlan(
  c: Context<ApiEnv>,
  store: Store,
  begin: (store: Store) => Promise<Operation>,
  about: About = () => ({}),
) {
  if (!isDryRun(c)) return answerAccepted(c, await begin(store));
  const operation = await begin(rehearsing(store));
  const { plan = [], sites = listSites(operation), pauseS = 0 } = await about(operation);
  return c.json({ plan: [`${operation.title}.`, ...plan], sites, pauseS }, 200);
}

/** With `dryRun`: what the change would do, after its rehearsal. In earnest undefined, and nothing happens here. */
export async function planOf(
  c: Context<ApiEnv>,
  rehearsal: () => Promise<unknown>,
  about: Partial<Plan> & Pick<Plan, 'plan'>,
): Promise<Plan | undefined> {
  if (!isDryRun(c)) return undefined;
  await rehearsal();
  return { sites: [], pauseS: 0, ...about };
}

/** The site that an operation of a site is about. */
function listSites({ kind, params }: Operation): string[] {
  if (!kind.startsWith('site.') || typeof params !== 'object' || params === null || Array.isArray(params)) return [];
  return typeof params.name === 'string' ? [params.name] : [];
}
