// Controllers that want to lead, on one database with a clock that the test moves: never two at once, never none for long.
import assert from 'node:assert/strict';
import type { Clock } from '../lib/clock.ts';
import { makeSilentLogger } from '../lib/log.ts';
import { DEFAULT_TIMES, handOver, makeLeadership, readLeader, type Term } from './leadership.ts';
import { storeProblems } from './store/problems.ts';
import type { Sql, Store } from './store.ts';
import { makeTestClock } from './test-clock.ts';
import { withStores } from './test-store.ts';

const STEP_MS = 250;
/** The bound of a statement in earnest. */
const HANG_MS = 2_000;

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Candidate {
  readonly id: string;
  /** Questions to the database hang, then fail. */
  cut: boolean;
  /** Nothing of it happens, and it does not know. */
  freeze(): void;
  thaw(): void;
  /** As a person stops it. */
  stop(): Promise<void>;
  readonly isFrozen: boolean;
  readonly leads: boolean;
}

function makeStage(store: Store) {
  const clock = makeTestClock();
  let inFlight = 0;

  function start(id: string, lead?: (term: Term) => Promise<void>): Candidate {
    const stopping = new AbortController();
    let frozen: PromiseWithResolvers<void> | undefined;
    let leads = false;
    const own: Clock = {
      ...clock,
      async wait(durationMs, signal) {
        await clock.wait(durationMs, signal);
        await frozen?.promise;
      },
    };
    const query: Sql['query'] = async (text, values) => {
      if (candidate.cut) {
        await clock.wait(HANG_MS);
        throw storeProblems.make('away', { why: 'the test cut it' });
      }
      inFlight += 1;
      try {
        return await store.query(text, values);
      } finally {
        inFlight -= 1;
      }
    };
    const work =
      lead ??
      (async ({ ends }: Term) => {
        leads = true;
        await new Promise<void>((resolve) =>
          ends.addEventListener(
            'abort',
            () => {
              leads = false;
              resolve();
            },
            { once: true },
          ),
        );
      });
    const sql = { query } as Sql;
    const leadership = makeLeadership({
      ...{ sql, clock: own, log: makeSilentLogger(), id },
      at: () => new Date(clock.nowMs()),
    });
    let ended = Promise.resolve();
    const candidate = {
      id,
      cut: false,
      freeze() {
        frozen ??= Promise.withResolvers();
      },
      thaw() {
        frozen?.resolve();
        frozen = undefined;
      },
      stop() {
        stopping.abort(new Error('stopped'));
        return ended;
      },
      get isFrozen() {
        return frozen !== undefined;
      },
      get leads() {
        return leads;
      },
    };
    ended = leadership.run(work, stopping.signal);
    return candidate;
  }

  /** Until nobody does anything before the clock moves on. */
  async function settle(): Promise<void> {
    for (let calm = 0; calm < 4; ) {
      await new Promise((resolve) => setImmediate(resolve));
      calm = inFlight === 0 ? calm + 1 : 0;
    }
  }

  async function run(durationMs: number, look?: () => void): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += STEP_MS) {
      await clock.advance(STEP_MS);
      await settle();
      look?.();
    }
  }

  return { clock, start, settle, run };
}

const leadersOf = (all: readonly Candidate[]) => all.filter(({ leads }) => leads).map(({ id }) => id);

withStores((test) => {
  test('the first that asks leads, and when it is stopped the next one at once', async ({ store }) => {
    const { start, settle, run, clock } = makeStage(store);
    const first = start('first');
    await settle();
    const second = start('second');
    await run(20_000);
    assert.deepEqual(leadersOf([first, second]), ['first']);
    assert.equal((await readLeader(store, new Date(clock.nowMs())))?.id, 'first');
    const stopped = first.stop();
    await run(500);
    await stopped;
    assert.deepEqual(leadersOf([first, second]), ['second']);
    const leader = await readLeader(store, new Date(clock.nowMs()));
    assert.deepEqual([leader?.id, leader?.term], ['second', 2]);
    void second.stop();
    await settle();
  });

  test('a leader that the database does not hear gives up before another leads', async ({ store }) => {
    const { start, settle, run, clock } = makeStage(store);
    const first = start('first');
    await settle();
    const second = start('second');
    await run(2_000);
    first.cut = true;
    const cutMs = clock.monotonicMs();
    let [gaveUpMs, tookOverMs] = [0, 0];
    await run(10_000, () => {
      assert.ok(leadersOf([first, second]).length < 2);
      if (gaveUpMs === 0 && !first.leads) gaveUpMs = clock.monotonicMs() - cutMs;
      if (tookOverMs === 0 && second.leads) tookOverMs = clock.monotonicMs() - cutMs;
    });
    assert.ok(gaveUpMs > 0 && gaveUpMs < tookOverMs, `gave up after ${gaveUpMs}, taken over after ${tookOverMs}`);
    assert.ok(tookOverMs <= DEFAULT_TIMES.leaseMs + DEFAULT_TIMES.lookMs + STEP_MS);
    first.cut = false;
    await run(5_000);
    assert.deepEqual(leadersOf([first, second]), ['second']);
    await Promise.all([first.stop(), second.stop(), run(3_000)]);
  });

  test('a controller that starts again leads again at once', async ({ store }) => {
    const { start, settle, run } = makeStage(store);
    const before = start('same');
    await settle();
    // As after kill -9: it neither renews nor gives back.
    before.cut = true;
    before.freeze();
    const after = start('same');
    await settle();
    assert.equal(after.leads, true);
    before.thaw();
    before.cut = false;
    await run(6_000);
    assert.deepEqual([before.leads, after.leads], [false, true]);
    await Promise.all([before.stop(), after.stop(), run(3_000)]);
  });

  test('a leader hands over to the one that is named, in order, and nobody else comes between', async ({ store }) => {
    const { start, settle, run, clock } = makeStage(store);
    const first = start('first');
    await settle();
    const [other, heir] = [start('other'), start('heir')];
    await run(1_000);
    await handOver(store, 'heir', 10_000, new Date(clock.nowMs()));
    const seen = new Set<string>();
    await run(2_000, () => {
      const leaders = leadersOf([first, other, heir]);
      assert.ok(leaders.length <= 1);
      for (const id of leaders) seen.add(id);
    });
    assert.equal(heir.leads, true);
    assert.equal(seen.has('other'), false);
    await run(20_000);
    assert.deepEqual(leadersOf([first, other, heir]), ['heir']);
    await Promise.all([first.stop(), other.stop(), heir.stop(), run(3_000)]);
  });

  test('where the named one never comes, another leads when its time is over', async ({ store }) => {
    const { start, settle, run, clock } = makeStage(store);
    const first = start('first');
    await settle();
    await handOver(store, 'gone', 5_000, new Date(clock.nowMs()));
    await run(3_000);
    assert.equal(first.leads, false);
    await run(3_000);
    assert.equal(first.leads, true);
    await run(5_000);
    assert.equal(first.leads, true);
    await Promise.all([first.stop(), run(3_000)]);
  });

  test('one that cannot begin leaves it to another', async ({ store }) => {
    const { start, settle, run } = makeStage(store);
    const broken = start('broken', () => Promise.reject(new Error('its port is taken')));
    await settle();
    const sound = start('sound');
    await run(1_000);
    assert.equal(sound.leads, true);
    await Promise.all([broken.stop(), sound.stop(), run(5_000)]);
  });

  test('whatever is cut, frozen, healed and stopped, never do two lead, and after a calm time one does', async ({
    store,
  }) => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const random = makeRandom(seed);
      const { start, settle, run } = makeStage(store);
      await store.query('UPDATE controller_lease SET holder = NULL, until = NULL');
      const all = ['a', 'b', 'c'].map((id) => start(id));
      await settle();
      const assertOne = () => {
        // Who is frozen does nothing; it gives up as soon as it goes on.
        const awake = all.filter(({ isFrozen }) => !isFrozen);
        assert.ok(leadersOf(awake).length <= 1, `seed ${seed}: ${leadersOf(awake).join(' and ')} lead`);
      };
      for (let turn = 0; turn < 60; turn += 1) {
        const one = all[Math.floor(random() * all.length)];
        const what = random();
        if (one === undefined) continue;
        if (what < 0.25) one.cut = true;
        else if (what < 0.5) one.cut = false;
        else if (what < 0.7) one.freeze();
        else one.thaw();
        await settle();
        await run(STEP_MS * Math.ceil(random() * 16), assertOne);
      }
      for (const one of all) {
        one.cut = false;
        one.thaw();
      }
      await run(DEFAULT_TIMES.leaseMs * 2, assertOne);
      assert.equal(leadersOf(all).length, 1, `seed ${seed}`);
      await Promise.all([...all.map((one) => one.stop()), run(4_000)]);
    }
  });
});
