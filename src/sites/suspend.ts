// Suspends a site and brings it back: its pages answer "suspended", its database refuses it, its data stays.
import { z } from 'zod';
import { commonProblems } from '../lib/errors.ts';
import {
  type Asker,
  makeOperation,
  type Operation,
  type OperationKind,
  type StepContext,
} from '../platform/operations/operation.ts';
import type { Sql } from '../platform/store.ts';
import { checkOnNodes, enterState, execInSite } from './nodes.ts';
import { type SiteParts, siteLock } from './parts.ts';
import { siteProblems } from './problems.ts';
import { readSite, type SiteRow, type SiteState, storeUpgradeOwed } from './store.ts';

const paramsSchema = z.object({
  site: z.string(),
  name: z.string(),
  before: z.enum(['ready', 'suspended', 'archived']),
  why: z.string(),
});
type Params = z.infer<typeof paramsSchema>;

/** Longest time that an app takes for its tables. */
const UPGRADE_MS = 900_000;
const OUTPUT_SHOWN = 1_500;

type Verb = 'suspend' | 'resume';
const ALLOWED: Record<Verb, readonly SiteState[]> = { suspend: ['ready'], resume: ['suspended', 'archived'] };

/** Begins `site.suspend` or `site.resume` in the caller's transaction. */
export async function startSiteChange(
  parts: SiteParts,
  sql: Sql,
  verb: Verb,
  idOrName: string,
  who: Asker,
): Promise<Operation> {
  const site = await readSite(sql, idOrName);
  if (site === undefined) throw commonProblems.make('not-found', { noun: 'site', name: idOrName });
  if (!ALLOWED[verb].includes(site.state)) {
    const about = { site: site.name, state: site.state, verb, needed: ALLOWED[verb].join(' or ') };
    throw siteProblems.make('wrong-state', about);
  }
  const why = who.reason ?? (verb === 'suspend' ? 'a person suspended it' : 'it is served');
  return parts.operations.start(sql, `site.${verb}`, { site: site.id, name: site.name, before: site.state, why }, who);
}

function makeSteps(parts: SiteParts, params: Params) {
  const { store, databases, events } = parts;
  const read = async (): Promise<SiteRow & { databaseServer: string }> => {
    const site = await readSite(store, params.site);
    if (site?.databaseServer == null) throw commonProblems.make('not-found', { noun: 'site', name: params.name });
    return { ...site, databaseServer: site.databaseServer };
  };
  const lock = async ({ signal }: StepContext) => {
    const site = await read();
    await databases.lockSite(site.databaseServer, site.id, signal);
  };
  const unlock = async ({ signal }: StepContext) => {
    const site = await read();
    await databases.unlockSite(site.databaseServer, site.id, signal);
  };
  const close =
    (reason: string) =>
    async ({ signal }: StepContext) => {
      const state = params.before === 'archived' ? 'archived' : 'suspended';
      await enterState(parts, await read(), { state, reason, first: 'edges' }, signal);
    };
  const open =
    (reason: string) =>
    async ({ signal }: StepContext) => {
      await enterState(parts, await read(), { state: 'ready', reason, first: 'nodes' }, signal);
    };
  const note = (kind: string) => async () => {
    const about = { subject: siteLock(params.site), by: 'operation', reason: params.why, data: { name: params.name } };
    await events.append(store, { kind, ...about });
  };
  return { read, lock, unlock, close, open, note };
}

/** The operation `site.suspend`. */
export function makeSiteSuspend(parts: SiteParts): OperationKind<Params> {
  return makeOperation<Params>({
    kind: 'site.suspend',
    params: paramsSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name }) => `Suspend the site ${name}`,
    steps: (params) => {
      const { close, open, lock, unlock, note } = makeSteps(parts, params);
      return [
        { name: 'close', timeoutMs: 60_000, do: close(params.why), undo: open('it could not be suspended') },
        { name: 'lock-database', timeoutMs: 60_000, do: lock, undo: unlock },
        { name: 'note', timeoutMs: 10_000, do: note('site.suspended') },
      ];
    },
  });
}

/** A wave passed while the site was closed: its tables follow its code now, before anybody sees it. */
async function payUpgrade(parts: SiteParts, site: SiteRow, signal: AbortSignal): Promise<void> {
  const argv = parts.readRecipe(site.app)?.site?.upgrade;
  if (!site.upgradeOwed || argv === undefined) return;
  // An archived one stands on no node yet.
  await enterState(parts, site, { state: 'maintenance', reason: 'its tables are upgraded', first: 'edges' }, signal);
  const { code, stdout, stderr } = await execInSite(parts, site, { argv, timeoutMs: UPGRADE_MS }, signal);
  const output = `${stdout}\n${stderr}`.trim().slice(-OUTPUT_SHOWN);
  if (code !== 0) throw siteProblems.make('late-upgrade-failed', { site: site.name, code, output });
  await storeUpgradeOwed(parts.store, site.id, false);
}

/** The operation `site.resume`: from suspension, or from the archive while its grace time lasts. */
export function makeSiteResume(parts: SiteParts): OperationKind<Params> {
  return makeOperation<Params>({
    kind: 'site.resume',
    params: paramsSchema,
    locks: ({ site }) => [siteLock(site)],
    title: ({ name }) => `Resume the site ${name}`,
    steps: (params) => {
      const { read, close, open, lock, unlock, note } = makeSteps(parts, params);
      return [
        { name: 'unlock-database', timeoutMs: 60_000, do: unlock, undo: lock },
        {
          name: 'open',
          timeoutMs: UPGRADE_MS,
          async do(ctx) {
            await payUpgrade(parts, await read(), ctx.signal);
            await open(params.why)(ctx);
          },
          undo: close('it could not be brought back'),
        },
        {
          name: 'check',
          timeoutMs: 60_000,
          async do({ signal }) {
            const site = await read();
            const check = parts.readRecipe(site.app)?.site?.check;
            if (check !== undefined) await checkOnNodes(parts, site, check, signal);
          },
        },
        { name: 'note', timeoutMs: 10_000, do: note('site.resumed') },
      ];
    },
  });
}
