// The steps by which a site goes to another generation, and back. Its visitors are held and its tasks rest while its database
// and files are kept, its nodes become those of the other image, and the app upgrades its tables. Only when its pages are as good
// as before it opens; until then every way out puts back database, files and code. Once it has opened nothing is put back any
// more: a visitor may have entered something.
import { z } from 'zod';
import { commonProblems, Problem } from '../lib/errors.ts';
import type { Step, StepContext } from '../platform/operations/operation.ts';
import type { Json } from '../platform/store.ts';
import { syncPool } from '../pools/sync.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { checkOnNodes, enterState, execInSite } from '../sites/nodes.ts';
import { siteLock } from '../sites/parts.ts';
import { putBack } from '../sites/snapshots/put-back.ts';
import { makeSnapshotStep, type PlacedSite, readPlacedSite } from '../sites/snapshots/take.ts';
import { readSite, type SiteState, storeSiteGeneration, storeSiteState, storeUpgradeOwed } from '../sites/store.ts';
import { comparePages, type PageFacts, readPages } from './pages.ts';
import { type WaveParts, waveSubject } from './parts.ts';
import { waveProblems } from './problems.ts';
import { readWaveSite, storePause, storeUpgradeBegun, storeWaveSite } from './store.ts';
import { killCommands } from './stray.ts';

export const upgradeSchema = z.object({
  wave: z.string(),
  site: z.string(),
  name: z.string(),
  /** Of the image it goes to, as people write it. */
  image: z.string(),
  /** Generations of its pool. */
  from: z.int(),
  to: z.int(),
  pages: z.array(z.string()),
  /** It is suspended: its code follows now, its tables when it opens. */
  closed: z.boolean(),
});
export type UpgradeParams = z.infer<typeof upgradeSchema>;

/** Runs of tasks that are under way get so long to end by themselves. */
const RUNS_MS = 120_000;
const UPGRADE_MS = 900_000;
/** A site that has just opened its PHP may need a moment; a broken one is broken at each look. */
const LOOKS = 4;
const LOOK_MS = 1_000;
/** Of what the upgrade said this much is shown. */
const OUTPUT_SHOWN = 1_500;
/** After the site has opened there is no way back: the edges are told however long it takes. */
const TELL_MS = 24 * 3_600_000;

/** What a site's row says while it is under way, when it is there, and when it was taken back. */
type Row = 'upgrading' | 'upgraded' | 'failed' | 'returning' | 'returned' | 'stuck';

/** All steps; each operation takes its own. */
export function makeUpgradeSteps(parts: WaveParts, params: UpgradeParams, states: { begun: Row; good: Row; bad: Row }) {
  const { store, sites, events, clock } = parts;
  const { wave, site: id, name, image } = params;
  const read = (): Promise<PlacedSite> => readPlacedSite(sites, id);
  const recipe = (app: string) => sites.readRecipe(app)?.site;
  /** It has opened as it should be: whatever comes then, nothing is put back. */
  const isOver = async (): Promise<boolean> => (await readWaveSite(store, wave, id))?.state === states.good;
  /** An undo that ends where the site has opened. */
  const unlessOver = (undo: (ctx: StepContext) => Promise<void>) => async (ctx: StepContext) => {
    if (!(await isOver())) await undo(ctx);
  };
  const readWhy = async ({ operationId }: StepContext): Promise<string> => {
    const { problem, cancelledBy } = await parts.operations.read(operationId);
    return cancelledBy === null ? (problem?.detail ?? 'it failed') : `cancelled by ${cancelledBy}`;
  };
  const since = (output: Json | undefined): number =>
    Math.round(clock.nowMs() - Number((output as { closedAtMs?: number } | undefined)?.closedAtMs ?? clock.nowMs()));
  const enter = async (generation: number, state: SiteState, reason: string, signal: AbortSignal): Promise<void> => {
    await changeConfig(store, (sql, version) => storeSiteGeneration(sql, id, { generation, state, reason }, version));
    // Both sides: the one lets it go, the other takes it.
    await syncPool(parts.pools, (await read()).pool, signal);
  };

  const mark: Step = {
    name: 'mark',
    timeoutMs: 10_000,
    async do() {
      await storeWaveSite(store, { wave, site: id }, { state: states.begun, reason: `on its way to ${image}` });
      await storeUpgradeBegun(store, wave, id, false);
    },
    undo: unlessOver(async (ctx) => {
      const reason = await readWhy(ctx);
      await store.transaction(async (sql) => {
        await storeWaveSite(sql, { wave, site: id }, { state: states.bad, reason });
        const about = { by: `operation:${ctx.operationId}`, reason: `${name} was brought back: ${reason}` };
        for (const subject of [waveSubject(wave), siteLock(id)])
          await events.append(sql, { kind: 'wave.site-back', subject, ...about, data: { wave, site: name } });
      });
      parts.wake();
    }),
  };
  const before: Step = {
    name: 'before',
    timeoutMs: 60_000,
    do: async ({ signal }) => (await readPages(sites, await read(), params.pages, signal)) as unknown as Json,
  };
  const tasks: Step = {
    name: 'tasks',
    timeoutMs: RUNS_MS + 60_000,
    do: ({ signal }) => sites.tasks.closed(id, signal, RUNS_MS),
    undo: unlessOver(async () => {
      await store.transaction(async (sql) => {
        if ((await readSite(sql, id))?.state === 'ready') await sites.tasks.opened(sql, id);
      });
    }),
  };
  const close: Step = {
    name: 'close',
    timeoutMs: 120_000,
    async do({ signal, outputs }) {
      const closedAtMs = Number((outputs.close as { closedAtMs?: number } | undefined)?.closedAtMs ?? clock.nowMs());
      const site = await read();
      const reason = `it is on its way to ${image}`;
      if (site.state !== 'maintenance')
        await enterState(sites, site, { state: 'maintenance', reason, first: 'edges' }, signal);
      else await Promise.all([parts.pools.syncEdges(signal), syncPool(parts.pools, site.pool, signal)]);
      return { closedAtMs };
    },
    undo: unlessOver(async ({ signal, outputs }) => {
      const reason = 'it is served, as before';
      await enterState(sites, await read(), { state: 'ready', reason, first: 'nodes' }, signal);
      await storePause(store, wave, id, since(outputs.close));
    }),
  };
  const snapshot = (reason: string): Step => {
    const step = makeSnapshotStep(sites, { site: id, reason, by: `wave ${wave}` });
    return { ...step, ...(step.undo === undefined ? {} : { undo: unlessOver(step.undo) }) };
  };
  const numberOf = ({ outputs }: StepContext): number | undefined =>
    (outputs.snapshot as { number?: number } | undefined)?.number;

  /** The code changes with nobody there; `restore`: and database and files become what that snapshot says. Undone, all three are as before. */
  const change = (way: { from: number; to: number; restore?: number }): Omit<Step, 'name'> => ({
    timeoutMs: UPGRADE_MS,
    async do({ signal }) {
      await enter(way.to, 'maintenance', `it is on its way to ${image}`, signal);
      if (way.restore !== undefined) await putBack(sites, id, way.restore, signal);
    },
    undo: unlessOver(async (ctx) => {
      await enter(way.from, 'maintenance', 'it is being brought back as it was', ctx.signal);
      await killCommands(parts, await read(), ctx.signal);
      const number = numberOf(ctx);
      if (number !== undefined) await putBack(sites, id, number, ctx.signal);
    }),
  });
  const upgrade: Step = {
    name: 'upgrade',
    timeoutMs: UPGRADE_MS,
    async do(ctx) {
      const { signal } = ctx;
      const site = await read();
      const argv = recipe(site.app)?.upgrade;
      if (argv === undefined) throw waveProblems.make('no-upgrade', { app: site.app });
      const number = numberOf(ctx);
      if (number !== undefined && (await readWaveSite(store, wave, id))?.upgradeBegun === true) {
        // Cut off half way, it might find its version stored already and say that all is well.
        await killCommands(parts, site, signal);
        await putBack(sites, id, number, signal);
      }
      await storeUpgradeBegun(store, wave, id, true);
      const result = await execInSite(sites, site, { argv, timeoutMs: UPGRADE_MS }, signal);
      const output = `${result.stdout}\n${result.stderr}`.trim().slice(-OUTPUT_SHOWN);
      if (result.code !== 0) throw waveProblems.make('upgrade-failed', { site: name, code: result.code, output });
      return { output };
    },
  };

  async function findFault(site: PlacedSite, pages: readonly PageFacts[], signal: AbortSignal) {
    const check = recipe(site.app)?.check;
    try {
      if (check !== undefined) await checkOnNodes(sites, site, check, signal);
    } catch (thrown) {
      if (thrown instanceof Problem && thrown.code === 'site.check-failed') return thrown.document.detail;
      throw thrown;
    }
    const paths = pages.map(({ path }) => path);
    return comparePages(pages, await readPages(sites, site, paths, signal));
  }
  const check: Step = {
    name: 'check',
    timeoutMs: 180_000,
    async do({ signal, outputs }) {
      const closed = await read();
      // Its nodes serve it from now on; the edge holds visitors until it is seen to be well.
      await enter(closed.generation, 'upgrading', `it is looked at on ${image}`, signal);
      const site = await read();
      for (let left = LOOKS - 1; ; left -= 1) {
        const why = await findFault(site, (outputs.before ?? []) as unknown as PageFacts[], signal);
        if (why === undefined) return;
        if (left === 0) throw waveProblems.make('worse-than-before', { site: name, why: why.replace(/\.$/, '') });
        await clock.wait(LOOK_MS, signal);
      }
    },
  };
  const serve: Step = {
    name: 'serve',
    timeoutMs: 30_000,
    async do(ctx) {
      if (await isOver()) return;
      const site = await read();
      await changeConfig(store, async (sql) => {
        const reason = `it is on ${image}`;
        // Its own version stays: its nodes serve it already.
        await storeSiteState(sql, id, 'ready', reason, site.configVersion);
        await sites.tasks.opened(sql, id);
        const kept = states.good === 'upgraded' ? { snapshot: numberOf(ctx) ?? null } : {};
        await storeWaveSite(sql, { wave, site: id }, { state: states.good, reason, ...kept });
        const event = {
          by: `operation:${ctx.operationId}`,
          reason: `${name} is on ${image}`,
          data: { wave, site: name },
        };
        for (const subject of [waveSubject(wave), siteLock(id)])
          await events.append(sql, { kind: `wave.site-${states.good}`, subject, ...event });
      });
    },
  };
  const tell: Step = {
    name: 'tell',
    timeoutMs: TELL_MS,
    async do({ signal, outputs }) {
      await parts.pools.syncEdges(signal).catch((thrown: unknown) => {
        if (signal.aborted) throw thrown;
        throw commonProblems.make('timed-out', { what: 'Telling the edges', seconds: 20 }, thrown);
      });
      const pauseMs = since(outputs.close);
      await storePause(store, wave, id, pauseMs);
      parts.wake();
      return { pauseMs };
    },
  };
  /** A site that is closed changes sides as it is; its tables follow when it opens. */
  const follow: Step = {
    name: 'follow',
    timeoutMs: 120_000,
    async do({ signal }) {
      const { state, reason, upgradeOwed } = await read();
      await storeUpgradeOwed(store, id, states.good === 'upgraded' || upgradeOwed);
      await enter(params.to, state, reason, signal);
      await parts.pools.syncEdges(signal);
      if (states.good === 'returned') await storeUpgradeOwed(store, id, false);
      const said = states.good === 'upgraded' ? 'suspended: its tables follow when it is resumed' : 'as it was';
      await storeWaveSite(store, { wave, site: id }, { state: states.good, reason: said });
      parts.wake();
    },
    undo: unlessOver(async ({ signal }) => {
      const { state, reason } = await read();
      await storeUpgradeOwed(store, id, states.good === 'returned');
      await enter(params.from, state, reason, signal);
      await parts.pools.syncEdges(signal);
    }),
  };
  return { mark, before, tasks, close, snapshot, change, upgrade, check, serve, tell, follow };
}
