// The pause of a move, from the moment at which the edges hold the site's visitors to that at which they let them go to the
// new pool. One function, run from its beginning each time: what is copied last is copied within the very hold that the switch
// ends, whoever was killed before.

import { AGENT_CALL_MS } from '../pools/parts.ts';
import { syncPool } from '../pools/sync.ts';
import { changeConfig } from '../servers/config-clock.ts';
import { listServers } from '../servers/store.ts';
import type { Way } from './carriers.ts';
import { carryPass } from './carry.ts';
import { storeHeld, storeMoved } from './move-store.ts';
import type { SiteParts } from './parts.ts';
import { siteProblems } from './problems.ts';
import { readSite, type SiteRow } from './store.ts';

/** What the pause was made of, in seconds. */
export interface Pause {
  pauseS: number;
  /** Until no request of the site was under way. */
  drainS: number;
  /** Until no node of the old pool had PHP for it. */
  closeS: number;
  copyS: number;
  switchS: number;
  carriedFiles: number;
}

const LOOK_EVERY_MS = 20;
/** For giving visitors back when the way is lost; our own bound, since the step's may be over. */
const UNHOLD_MS = 60_000;

/** Switches a site over; undefined when it had been switched and only the edges were told again. */
export async function switchPools(
  parts: SiteParts,
  site: SiteRow,
  way: Way & { maxPauseS: number; waited: readonly string[] },
  signal: AbortSignal,
): Promise<Pause | undefined> {
  const { store } = parts;
  if (site.pool === way.to) {
    await parts.pools.syncEdges(signal);
    return undefined;
  }
  try {
    return await holdAndSwitch(parts, site, way, signal);
  } catch (thrown) {
    const now = await readSite(store, site.id);
    if (now !== undefined && now.pool !== way.to) await unhold(parts, now, AbortSignal.timeout(UNHOLD_MS));
    throw thrown;
  }
}

async function holdAndSwitch(
  parts: SiteParts,
  site: SiteRow,
  way: Way & { maxPauseS: number; waited: readonly string[] },
  signal: AbortSignal,
): Promise<Pause> {
  const { store, pools } = parts;
  const { clock } = pools;
  const marks = [clock.monotonicMs()];
  const mark = () => marks.push(clock.monotonicMs());
  const lengthS = (part: number): number => ((marks[part + 1] ?? 0) - (marks[part] ?? 0)) / 1000;
  const assertShort = (why: string): void => {
    const pauseS = (clock.monotonicMs() - (marks[0] ?? 0)) / 1000;
    if (pauseS > way.maxPauseS)
      throw siteProblems.make('pause-too-long', { site: site.name, pauseS, maxS: way.maxPauseS, why });
  };
  // The edges first: they let nobody through any more, and the old nodes finish what they have.
  await storeHeld(store, site.id, 'edge');
  await pools.syncEdges(signal);
  while ((await countUnderWay(parts, site.id, signal)) > 0) {
    assertShort('requests under way do not end');
    await clock.wait(LOOK_EVERY_MS, signal);
  }
  mark();
  await changeConfig(store, (sql, version) => storeHeld(sql, site.id, 'closed', version));
  await syncPool(pools, way.from, signal);
  mark();
  const { carriedFiles } = await carryPass(parts, way, signal, true);
  mark();
  assertShort('the last copy took long');
  await changeConfig(store, async (sql, version) => {
    await storeMoved(sql, site.id, `pool ${way.to}, moved from ${way.from}`, version);
    if (site.state === 'ready') await parts.tasks.opened(sql, site.id, way.waited);
  });
  await pools.syncEdges(signal);
  mark();
  const [drainS, closeS, copyS, switchS] = [lengthS(0), lengthS(1), lengthS(2), lengthS(3)];
  return { pauseS: drainS + closeS + copyS + switchS, drainS, closeS, copyS, switchS, carriedFiles };
}

/** Opens the old pool again and then lets its visitors go there. */
export async function unhold(parts: SiteParts, site: SiteRow, signal: AbortSignal): Promise<void> {
  const { store, pools } = parts;
  if (site.held === null) return;
  await changeConfig(store, (sql, version) => storeHeld(sql, site.id, 'edge', version));
  await syncPool(pools, site.pool, signal);
  await storeHeld(store, site.id, null);
  await pools.syncEdges(signal);
}

/** Over all edges. An agent that is away has none that could be asked; its edges hold as soon as it is back. */
export async function countUnderWay(parts: SiteParts, site: string, signal: AbortSignal): Promise<number> {
  const { agents } = parts.pools;
  const connected = new Set(agents.connected());
  const servers = (await listServers(parts.store)).filter(({ name }) => connected.has(name));
  const counts = await Promise.all(
    servers.map(({ name }) => agents.call(name, 'edge.under-way', { site }, { timeoutMs: AGENT_CALL_MS, signal })),
  );
  return counts.reduce((sum, { requests }) => sum + requests, 0);
}
