// One seed: a small deployment under faults for some simulated minutes, then calm, then the verdict. Everything that happens
// follows from the seed; the SQL is the real one.
import { storeProblems } from '../../src/platform/store/problems.ts';
import type { Store } from '../../src/platform/store.ts';
import { makeTestClock } from '../../src/platform/test-clock.ts';
import { countDue, readNext } from '../../src/sequencer/schedule.ts';
import type { Sequencer } from '../../src/sequencer/sequencer.ts';
import { listOverlaps } from './diary.ts';
import { makeSimulatedFleet } from './fleet.ts';
import { type Chance, makeChance } from './random.ts';
import { addTasks, fillStore, makeController, makeTaskRow, readHistory, readRuns } from './world.ts';

export interface Verdict {
  seed: number;
  /** What is wrong; empty when nothing is. */
  faults: string[];
  runs: number;
  lost: number;
  skips: number;
  stale: number;
}

const STEP_MS = 500;
const STORM_MS = 15_000;
const CALM_MS = 6_000;
/** In the calm a process takes at most a second, and is tried three times. */
const DRAIN_MS = 30_000;
/** Shorter than in earnest, in proportion, so that a seed sees many leases end. */
const SETTINGS = { leaseMs: 4_000, graceMs: 2_000, freshMs: 2_000, siteMost: 2, breakerAfter: 1_000_000 };
const MARGIN_MS = 1_000;

/** A store that is away at times: before a transaction, or after its commit, when nobody hears of it. */
function makeShaky(store: Store, chance: Chance, isAway: () => boolean): Store {
  const away = () => storeProblems.make('away', { why: 'simulated' });
  return {
    ...store,
    async query(text, values) {
      if (isAway() && chance.happens(0.5)) throw away();
      return store.query(text, values);
    },
    async transaction(work, isolation) {
      if (isAway() && chance.happens(0.4)) throw away();
      const result = await store.transaction(work, isolation);
      if (isAway() && chance.happens(0.4)) throw away();
      return result;
    },
  };
}

/** Runs a seed on an empty, migrated store. */
export async function runSeed(store: Store, seed: number): Promise<Verdict> {
  const chance = makeChance(seed);
  const clock = makeTestClock();
  const servers = ['a', 'b', 'c'].slice(0, chance.whole(1, 3));
  const sites = chance.whole(1, 4);
  await fillStore(store, servers, sites);
  const startMs = clock.nowMs();
  const rows = Array.from({ length: chance.whole(2, 10) }, (_, index) => {
    const site = chance.whole(0, sites - 1);
    const everyS = chance.whole(2, 9);
    const offsetS = chance.whole(0, everyS - 1);
    const first = readNext({ everyS, offsetS, cron: null, zone: 'UTC' }, new Date(startMs));
    return makeTaskRow(index, site, first, {
      ...{ everyS, offsetS },
      class: chance.pick(['urgent', 'normal', 'bulk'] as const) ?? 'normal',
      whenDueRunning: chance.happens(0.3) ? 'queue' : 'skip',
      whenLost: chance.happens(0.7) ? 'retry' : 'fail',
      missed: chance.pick(['latest', 'latest', 'none', 'all'] as const) ?? 'latest',
      missedCap: 3,
      retryFirstS: 1,
      retryMostS: 4,
      // Some tasks of a site share a key.
      ...(chance.happens(0.2) ? { overlapKey: `s${String(site).padStart(9, '0')}/shared` } : {}),
    });
  });
  await addTasks(store, rows);
  const firstDue = new Map(rows.map((row) => [row.id, row.nextAt ?? '']));

  let dbJumpMs = 0;
  let jumpedAhead = false;
  let awayUntilMs = 0;
  const calm = (): boolean => clock.monotonicMs() >= STORM_MS;
  const shaky = makeShaky(store, chance, () => !calm() && awayUntilMs > clock.monotonicMs());
  const time = { at: () => new Date(clock.nowMs() + dbJumpMs) };

  const network = {
    loss: chance.happens(0.5) ? chance.next() * 0.2 : 0,
    delayMs: chance.happens(0.5) ? chance.whole(0, 3_000) : 100,
  };
  const woken = new Set<Sequencer>();
  const makeOne = (): Sequencer => {
    const wake = () => void woken.add(one);
    const one = makeController({ store: shaky, clock, time, chance, agents: fleet, settings: SETTINGS, wake });
    return one;
  };
  const controllers: (Sequencer | undefined)[] = [];
  const fleet = makeSimulatedFleet({
    ...{ servers, slots: chance.whole(1, 4), chance, clock, marginMs: MARGIN_MS },
    controllerOf: (server) => {
      const alive = controllers.filter((one) => one !== undefined);
      return alive[(server.codePointAt(0) ?? 0) % Math.max(1, alive.length)];
    },
    work: () => ({
      // Many last longer than a lease: only those can be alive twice.
      takesMs: !calm() && chance.happens(0.4) ? chance.whole(3_000, 15_000) : chance.whole(0, calm() ? 1_000 : 2_000),
      code: !calm() && chance.happens(0.15) ? 1 : 0,
    }),
    network: () => (calm() ? { loss: 0, delayMs: 100 } : network),
  });
  controllers.push(makeOne());
  if (chance.happens(0.5)) controllers.push(makeOne());
  const faultiness = chance.next() * 0.25;

  function strike(): void {
    const server = chance.pick(servers) ?? 'a';
    const forMs = chance.whole(500, 12_000);
    // Cuts most of all: the process lives, and nobody hears of it.
    const kind = chance.pick([0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7]) ?? 0;
    if (kind === 0) fleet.cut(server, forMs);
    else if (kind === 1) fleet.freeze(server, forMs);
    else if (kind === 2) fleet.kill(server, forMs);
    else if (kind === 3) fleet.killAgent(server, forMs);
    else if (kind === 4) awayUntilMs = clock.monotonicMs() + forMs / 2;
    else if (kind === 5) dbJumpMs = chance.pick([0, 0, 300_000, -300_000]) ?? 0;
    else if (kind === 6) controllers[chance.whole(0, controllers.length - 1)] = undefined;
    else fleet.setPressure(server, chance.whole(0, 100));
  }

  async function step(): Promise<void> {
    await clock.advance(STEP_MS);
    if (!calm() && chance.happens(faultiness)) strike();
    jumpedAhead ||= dbJumpMs > 0;
    if (calm()) {
      dbJumpMs = 0;
      for (const server of servers) fleet.setPressure(server, 10);
    }
    controllers.forEach((one, index) => {
      if (one === undefined && (calm() || chance.happens(0.3))) controllers[index] = makeOne();
    });
    if (clock.monotonicMs() % 1_000 === 0) fleet.beat();
    await fleet.step();
    for (const one of controllers) {
      if (one === undefined) continue;
      // What the database refuses now is done at the next step.
      if (clock.monotonicMs() % 1_000 === 0) await one.tick().catch(() => undefined);
      if (woken.delete(one)) await one.choose().catch(() => undefined);
      if (clock.monotonicMs() % 1_000 === 0) await one.reclaim().catch(() => undefined);
    }
    await fleet.step();
  }
  while (clock.monotonicMs() < STORM_MS + CALM_MS) await step();

  const [history, runs] = [await readHistory(store), await readRuns(store)];
  const faults: string[] = [];
  // Every due tick up to the last one made gives exactly one run or one recorded skip.
  const nexts = await store.query<{ id: string; nextAt: string | null }>('SELECT id, next_at AS "nextAt" FROM task');
  for (const row of rows) {
    const nextAt = nexts.find((one) => one.id === row.id)?.nextAt;
    if (nextAt == null) {
      faults.push(`${row.id} has no next time`);
      continue;
    }
    const first = new Date(firstDue.get(row.id) ?? '');
    const before = new Date(new Date(nextAt).getTime() - 1);
    const due = before < first ? 0 : countDue(row, first, before).ticks;
    const own = history.filter((one) => one.task === row.id);
    const skipped = own.filter((one) => one.state === 'skipped').reduce((sum, one) => sum + one.ticks, 0);
    const run = new Set(
      [...own.filter((one) => one.state !== 'skipped'), ...runs.filter((one) => one.task === row.id)].map(
        (one) => one.dueAt,
      ),
    );
    if (run.size + skipped !== due)
      faults.push(`${row.id}: ${due} ticks were due, ${run.size} have runs and ${skipped} are skipped`);
  }

  // An end that was accepted is in the history or was stale; an epoch ends once.
  const ended = history.filter((one) => one.epoch !== null);
  if (new Set(ended.map((one) => one.epoch)).size !== ended.length) faults.push('an epoch ended twice');
  const live = new Set(runs.filter((one) => one.state !== 'queued').map((one) => one.epoch));
  for (const { epoch } of fleet.accepted)
    if (live.has(epoch)) faults.push(`the accepted end of epoch ${epoch} is not recorded`);

  // Retries keep to the limit.
  for (const one of history) if (one.attempt > 3) faults.push(`${one.task} has an attempt ${one.attempt} of 3`);

  // Without new ticks all that is there comes to its end.
  await store.query('UPDATE task SET next_at = NULL');
  for (let left = DRAIN_MS; left > 0 && ((await readRuns(store)).length > 0 || fleet.live() > 0); left -= STEP_MS)
    await step();
  // What was queued while the database's clock was ahead may wait until that time comes.
  for (const run of await readRuns(store))
    if (run.state !== 'queued' || !jumpedAhead) faults.push(`run ${run.id} is still ${run.state}`);
  for (const [one, other] of listOverlaps(fleet.diary))
    faults.push(`two processes of ${one.overlapKey} at once: ${JSON.stringify(one)} and ${JSON.stringify(other)}`);

  const [state] = await store.query<{ stale: number }>('SELECT stale_ends AS stale FROM fleet_state');
  const count = (name: string): number => history.filter((one) => one.state === name).length;
  return {
    seed,
    faults,
    runs: fleet.diary.length,
    lost: count('lost'),
    skips: count('skipped'),
    stale: state?.stale ?? 0,
  };
}
