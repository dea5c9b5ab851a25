// Pools that resize themselves, over the very same rooms as in earnest: votes are stored with their numbers, what is decided
// is begun with them, and whatever is lost, late or in the way ends with a reason and no resize.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBake } from '../../src/images/bake.ts';
import type { Sql, Store } from '../../src/platform/store.ts';
import { newPoolSchema, startPoolCreate } from '../../src/pools/create.ts';
import { startPoolDelete } from '../../src/pools/delete.ts';
import { newRollSchema, setPaused as setRollPaused, startRoll } from '../../src/pools/roll/start.ts';
import { storePausedBy } from '../../src/pools/roll/store.ts';
import { startPoolScale } from '../../src/pools/scale.ts';
import { listNodes, readPool } from '../../src/pools/store.ts';
import { beginSiteCreate, newSiteSchema } from '../../src/sites/admit.ts';
import { countVotes } from '../../src/votes/count.ts';
import { keepVotes } from '../../src/votes/history.ts';
import type { VotesParts } from '../../src/votes/parts.ts';
import type { PolicyWish } from '../../src/votes/policy.ts';
import { countWaitingRuns } from '../../src/votes/run-queue.ts';
import { listRounds, readPolicy } from '../../src/votes/store.ts';
import { dropPolicy, noteSamples, setPaused, setPolicy } from '../../src/votes/votes.ts';
import { tester, type World, withDeployedWorld } from './world.ts';

const POOL = 'wordpress';
const WISH: PolicyWish = {
  min: 1,
  max: 4,
  alerts: [
    { metric: 'busy-workers', is: '>', threshold: 8, forS: 10, vote: 'grow' },
    { metric: 'busy-workers', is: '<', threshold: 2, forS: 10, vote: 'shrink' },
  ],
  growBy: 1,
  calmS: 60,
  stabiliseS: 20,
};

/** A pool with a policy and a clock of its own: rounds come as fast as the test asks for them. */
async function makeVoting(world: World, wish: PolicyWish = WISH) {
  let nowMs = Date.UTC(2026, 0, 5, 12);
  const partsOf = (): VotesParts => ({ ...world.controller.rooms.parts.votes, at: () => new Date(nowMs) });
  await setPolicy(partsOf(), POOL, wish, tester);
  async function look(
    seconds: number,
    busy: number | undefined,
    figures: Record<string, number>,
    settle: () => Promise<void>,
  ): Promise<void> {
    for (let passed = 0; passed < seconds; passed += 5) {
      nowMs += 5_000;
      const nodes = await listNodes(world.store, { pool: POOL });
      if (busy !== undefined) {
        const told = { ageMs: 100, busyWorkers: busy, missing: {}, ...figures };
        await noteSamples(partsOf(), { nodes: nodes.map(({ name }) => ({ node: name, ...told })), edges: [] });
      }
      await countVotes(partsOf(), AbortSignal.timeout(10_000));
      await settle();
    }
  }
  return {
    parts: partsOf,
    /** Every ready node has so many busy workers (undefined: is silent) for so long, with a look each 5 s. */
    run: (seconds: number, busy: number | undefined, figures: Record<string, number> = {}) =>
      look(seconds, busy, figures, world.quiet),
    /** The same, but waits for nothing that is under way. */
    look: (seconds: number, busy: number | undefined) => look(seconds, busy, {}, async () => undefined),
    async wanted(): Promise<number> {
      return (await readPool(world.store, POOL))?.wanted ?? 0;
    },
    async reason(): Promise<string> {
      return (await readPolicy(world.store, POOL, null))?.round?.reason ?? '';
    },
    rounds: () => listRounds(world.store, { pool: POOL, before: undefined, limit: 500 }),
  };
}

void test('a pool under load grows by its own scaling, then shrinks to its least when the load is gone, one a calm time', () =>
  withDeployedWorld(async (world) => {
    const votes = await makeVoting(world);
    assert.equal(await votes.wanted(), 2);
    await votes.run(10, 9);
    assert.equal(await votes.wanted(), 2);
    await votes.run(10, 9);
    assert.equal(await votes.wanted(), 3);
    assert.equal((await listNodes(world.store, { pool: POOL })).filter(({ state }) => state === 'ready').length, 3);
    await votes.run(50, 9);
    assert.equal(await votes.wanted(), 3);
    assert.match(await votes.reason(), /but calm time has \d+ s left$/);
    await votes.run(300, 0);
    assert.equal(await votes.wanted(), 1);
    const resizes = (await votes.rounds()).filter(({ wanted, size }) => wanted !== size);
    assert.deepEqual(
      resizes.reverse().map(({ decision, size }) => [decision, size]),
      [
        ['grow', 3],
        ['shrink', 2],
        ['shrink', 1],
      ],
    );
    const times = resizes.map(({ at }) => Date.parse(at));
    for (const [index, atMs] of times.entries()) assert.ok(index === 0 || atMs - (times[index - 1] ?? 0) >= 60_000);
    const [first] = resizes;
    assert.ok(first?.operation);
    assert.deepEqual(
      first.votes.map(({ vote, alerts }) => [vote, alerts[0]?.value]),
      [
        ['grow', 9],
        ['grow', 9],
      ],
    );
    const operation = await world.controller.platform.operations.read(first.operation);
    assert.deepEqual([operation.kind, operation.by, operation.reason], ['pool.scale', 'votes', first.reason]);
  }));

void test('silence, figures that are missing and a clock that is set back resize nothing, and each has its reason', () =>
  withDeployedWorld(async (world) => {
    const votes = await makeVoting(world);
    await votes.run(5, 0);
    await votes.run(120, undefined);
    assert.match(await votes.reason(), /^all 2 voters are silent: silent: its last figures are \d+ s old$/);
    await votes.run(60, 0, { busyWorkers: Number.NaN });
    assert.match((await votes.rounds())[0]?.votes[0]?.reason ?? '', /busy-workers is missing/);
    assert.equal(await votes.wanted(), 2);
    const [store] = [world.store];
    await store.query(`UPDATE pool_policy SET resized_at = now() + interval '10 years'`);
    await votes.run(20, 9);
    assert.match(await votes.reason(), /calm time has (60|5\d) s left$/);
  }));

void test('what a person scales by hand begins a calm time; a paused pool casts votes and keeps its size', () =>
  withDeployedWorld(async (world) => {
    const votes = await makeVoting(world);
    await votes.run(5, 5);
    await world.run((sql, { rooms }) => startPoolScale(rooms.parts.pools, sql, POOL, 3, tester));
    await votes.run(30, 9);
    assert.equal(await votes.wanted(), 3);
    assert.match(await votes.reason(), /calm time/);
    await setPaused(votes.parts(), POOL, true, { by: 'ann', reason: 'the sale is tomorrow' });
    await votes.run(120, 9);
    assert.equal(await votes.wanted(), 3);
    assert.match(await votes.reason(), /3 of 3 voters for growing.* but ann paused it: the sale is tomorrow$/);
    await setPaused(votes.parts(), POOL, false, tester);
    await votes.run(5, 9);
    assert.equal(await votes.wanted(), 4);
  }));

void test('new nodes that fail stop the growth, which is taken back and tried again later', () =>
  withDeployedWorld(async (world) => {
    const votes = await makeVoting(world);
    world.onCall = (call) => {
      if (call.startsWith('fleet.instances.ensure')) throw new Error('the image is broken');
    };
    await votes.run(20, 9);
    assert.equal(await votes.wanted(), 2);
    // The failure's time is the machine's; this test's clock is years before it, so it counts as having just happened.
    await votes.run(20, 9);
    assert.match(await votes.reason(), /but the last (\d+ )?new nodes? failed \(.+\); it is tried again in \d+ s$/);
    world.onCall = () => undefined;
  }));

void test('a server without room is a ceiling with its numbers, and nothing is begun', () =>
  withDeployedWorld(async (world) => {
    const votes = await makeVoting(world);
    await world.store.query(`UPDATE server SET load = jsonb_set(load, '{memoryAvailableBytes}', '900000000')`);
    const before = (await world.controller.platform.operations.list({ kind: 'pool.scale' })).items.length;
    await votes.run(30, 9);
    assert.match(await votes.reason(), /but no server has 512 MB and 512 MB to spare \(.+ 858 MB free\)$/);
    assert.equal((await world.controller.platform.operations.list({ kind: 'pool.scale' })).items.length, before);
  }));

void test("a database server without free connections is a ceiling; one that is being healed keeps the pool's size", () =>
  withDeployedWorld(async (world) => {
    const votes = await makeVoting(world);
    await world.store.query(`UPDATE database_server SET health = '{"connections": {"used": 90, "max": 100}}'`);
    await votes.run(30, 9);
    assert.match(await votes.reason(), /but db1 has 0 connections to spare, and a node takes up to \d+$/);
    await world.store.query(`UPDATE database_server SET state = 'unhealthy'`);
    await votes.run(60, 0);
    assert.match(await votes.reason(), /but its database server db1 is unhealthy$/);
    assert.equal(await votes.wanted(), 2);
  }));

void test('of two controllers that look at once one decides, and a pool that is deleted in the middle is left alone', () =>
  withDeployedWorld(async (world) => {
    const votes = await makeVoting(world);
    await votes.run(10, 9);
    const parts = { ...votes.parts(), at: () => new Date(Date.UTC(2026, 0, 5, 12, 0, 20)) };
    const nodes = (await listNodes(world.store, { pool: POOL })).map(({ name }) => ({
      node: name,
      ageMs: 0,
      busyWorkers: 9,
      missing: {},
    }));
    await noteSamples(parts, { nodes, edges: [] });
    await Promise.all([1, 2, 3].map(() => countVotes(parts, AbortSignal.timeout(10_000))));
    await world.quiet();
    assert.equal((await votes.rounds()).filter(({ decision }) => decision === 'grow').length, 1);
    assert.equal(await votes.wanted(), 3);
    await world.store.query(`UPDATE site SET pool = 'mediawiki' WHERE pool = $1`, [POOL]);
    await world.begin((sql, { rooms }) =>
      startPoolDelete(rooms.parts.pools, sql, { name: POOL, deleteBackups: true }, tester),
    );
    await votes.run(90, 9);
    assert.equal(await readPool(world.store, POOL), undefined);
    assert.equal(await readPolicy(world.store, POOL, null), undefined);
  }));

void test('a pool that takes the name of a deleted one begins without its history and its failures', () =>
  withDeployedWorld(async (world) => {
    const { pools } = world.controller.rooms.parts;
    const votes = await makeVoting(world);
    world.onCall = (call) => {
      if (call.startsWith('fleet.instances.ensure')) throw new Error('the image is broken');
    };
    await votes.run(40, 9);
    assert.match(await votes.reason(), /failed \(/);
    world.onCall = () => undefined;
    assert.ok((await votes.rounds()).length > 1);
    await world.store.query(`UPDATE site SET pool = 'mediawiki' WHERE pool = $1`, [POOL]);
    await world.run((sql) => startPoolDelete(pools, sql, { name: POOL, deleteBackups: true }, tester));
    const wish = newPoolSchema.parse({ name: POOL, app: 'wordpress', size: 1 });
    await world.run((sql) => startPoolCreate(pools, sql, wish, tester));
    await setPolicy(votes.parts(), POOL, WISH, tester);
    assert.deepEqual(await votes.rounds(), []);
    await votes.run(15, 9);
    assert.equal(await votes.wanted(), 2);
  }));

void test('a look asks the store as many questions for thirty pools as for one', () =>
  withDeployedWorld(async (world) => {
    const votes = await makeVoting(world);
    await votes.run(10, 5);
    let [asked, seconds] = [0, 60];
    const { store, ...parts } = votes.parts();
    const counting = <S extends Sql>(sql: S): S => ({
      ...sql,
      query(text: string, values?: readonly unknown[]) {
        asked += 1;
        return sql.query(text, values);
      },
    });
    const at = () => new Date(Date.UTC(2026, 0, 5, 12, 1, seconds));
    const look = async () => {
      [asked, seconds] = [0, seconds + 60];
      const transaction: Store['transaction'] = (work, how) => store.transaction((sql) => work(counting(sql)), how);
      await countVotes({ ...parts, at, store: { ...counting(store), transaction } }, AbortSignal.timeout(10_000));
      return asked;
    };
    await look();
    const ofOne = await look();
    for (let number = 0; number < 29; number += 1) {
      const name = `more-${number}`;
      await store.query(
        `INSERT INTO pool (name, app, kind, image_number, wanted, max_sites, node_memory_mb, state)
         VALUES ($1, 'wordpress', 'shared', 1, 1, 9, 512, 'ready')`,
        [name],
      );
      await setPolicy(votes.parts(), name, WISH, tester);
    }
    assert.deepEqual([await look(), ofOne > 5], [ofOne, true]);
    const [row] = await store.query<{ count: number }>('SELECT count(DISTINCT pool) AS count FROM vote_round');
    assert.equal(row?.count, 30);
  }));

void test('the history has its partitions by day, and rounds go into them', () =>
  withDeployedWorld(async (world) => {
    const votes = await makeVoting(world);
    const { made } = await keepVotes(world.store, new Date(Date.UTC(2026, 0, 5)));
    assert.deepEqual(made, [
      'vote_round_20260105',
      'vote_round_20260106',
      'vote_round_20260107',
      'vote_round_20260108',
    ]);
    await votes.run(5, 5);
    const [row] = await world.store.query<{ count: number }>('SELECT count(*) AS count FROM vote_round_20260105');
    assert.equal(row?.count, 1);
    const { dropped } = await keepVotes(world.store, new Date(Date.UTC(2026, 0, 22)));
    assert.deepEqual(dropped, ['vote_round_20260105', 'vote_round_20260106']);
  }));

void test('a pool that nobody visits gives up its last node, and the first visitor who is held at the edge brings one back', () =>
  withDeployedWorld(async (world) => {
    const votes = await makeVoting(world, { ...WISH, min: 0, idleS: 60, calmS: 10, stabiliseS: 0 });
    let requests = 0;
    const visit = async (seconds: number, underWay: number) => {
      for (let passed = 0; passed < seconds; passed += 5) {
        const pools = [{ pool: POOL, requests, current: underWay, queued: 0, servers: [] }];
        await noteSamples(votes.parts(), { nodes: [], edges: [{ edge: 'e1', ageMs: 0, pools }] });
        await votes.run(5, 0);
      }
    };
    await visit(50, 0);
    assert.equal(await votes.wanted(), 1);
    requests += 1;
    await visit(40, 0);
    assert.equal(await votes.wanted(), 1);
    assert.match(await votes.reason(), /a visitor came \d+ s ago; the last node goes after 60 s$/);
    await visit(40, 0);
    assert.equal(await votes.wanted(), 0);
    assert.deepEqual(await listNodes(world.store, { pool: POOL }), []);
    assert.deepEqual(
      world.agents.edge?.pools.find(({ name }) => name === POOL),
      { name: POOL, holds: true, servers: [] },
    );
    await visit(10, 0);
    assert.equal(await votes.reason(), 'nobody visits it, and the first visitor wakes it');
    await setPaused(votes.parts(), POOL, true, { by: 'ann' });
    await visit(5, 3);
    assert.equal(await votes.wanted(), 1);
    assert.equal(
      (await votes.rounds()).find(({ decision }) => decision === 'grow')?.reason,
      '3 visitors wait at the edge of an empty pool',
    );
    await setPaused(votes.parts(), POOL, false, tester);
    await visit(90, 0);
    assert.equal(await votes.wanted(), 0);
    await dropPolicy(votes.parts(), POOL, tester);
    await world.quiet();
    assert.equal(await votes.wanted(), 1);
  }));

void test('an operation on one of its sites wakes an empty pool, and keeps its last node while it is under way', () =>
  withDeployedWorld(async (world) => {
    const votes = await makeVoting(world, { ...WISH, min: 0, idleS: 20, calmS: 0, stabiliseS: 0 });
    const pools = [{ pool: POOL, requests: 0, current: 0, queued: 0, servers: [] }];
    const idle = async (seconds: number) => {
      for (let passed = 0; passed < seconds; passed += 5) {
        await noteSamples(votes.parts(), { nodes: [], edges: [{ edge: 'e1', ageMs: 0, pools }] });
        await votes.run(5, 0);
      }
    };
    await idle(60);
    assert.equal(await votes.wanted(), 0);
    const wish = newSiteSchema.parse({ name: 'early', app: 'wordpress', hosts: ['early.example'], pool: POOL });
    const { id } = await beginSiteCreate(world.controller.rooms.parts.sites, wish, tester);
    await world.waiting();
    await votes.look(5, 0);
    assert.match(await votes.reason(), /^"Create the site early" \(.+\) is running and needs a node$/);
    assert.equal((await world.ended(id)).state, 'succeeded');
    await world.quiet();
    assert.equal(await votes.wanted(), 1);
    await idle(30);
    assert.equal(await votes.wanted(), 0);
  }));

void test('while it is rolled to another image a pool is not resized, and goes on voting afterwards', () =>
  withDeployedWorld(async (world) => {
    await world.run((sql, { rooms }) => startBake(rooms.parts.images, sql, POOL, tester));
    const votes = await makeVoting(world, { ...WISH, calmS: 0, stabiliseS: 0 });
    const { pools } = world.controller.rooms.parts;
    const wish = newRollSchema.parse({ image: 2, bakeTimeS: 0 });
    const { id } = await world.begin(async (sql) => {
      const roll = await startRoll(pools, sql, POOL, wish, tester);
      await storePausedBy(sql, roll.id, 'ann');
      return roll;
    });
    for (const [busy, direction] of [
      [0, 'shrinking'],
      [9, 'growing'],
    ] as const) {
      await votes.look(20, busy);
      const why = new RegExp(
        `2 of 2 voters for ${direction}.* but "Roll the pool ${POOL} from .+" \\(${id}\\) is running$`,
      );
      assert.match((await votes.reason()).replace('0 of 2 voters for growing, 2 for', '2 of 2 voters for'), why);
      assert.equal(await votes.wanted(), 2);
    }
    await setRollPaused(pools, POOL, false, tester);
    assert.equal((await world.ended(id)).state, 'succeeded');
    await world.quiet();
    await votes.run(15, 9);
    assert.equal(await votes.wanted(), 3);
    assert.ok((await listNodes(world.store, { pool: POOL })).every(({ imageNumber }) => imageNumber === 2));
  }));

void test('of two pools that see one fault in the same moment the first grows, and the other waits for its turn', () =>
  withDeployedWorld(async (world) => {
    let nowMs = Date.UTC(2026, 0, 5, 12);
    const parts: VotesParts = { ...world.controller.rooms.parts.votes, at: () => new Date(nowMs) };
    const pools = ['mediawiki', POOL];
    for (const pool of pools) await setPolicy(parts, pool, { ...WISH, jitterS: 600 }, tester);
    for (let look = 0; look < 4; look += 1) {
      nowMs += 5_000;
      const nodes = await listNodes(world.store);
      const told = { ageMs: 0, busyWorkers: 9, missing: {} };
      await noteSamples(parts, { nodes: nodes.map(({ name }) => ({ node: name, ...told })), edges: [] });
      await countVotes(parts, AbortSignal.timeout(10_000));
      await world.quiet();
    }
    const sizes = await Promise.all(pools.map(async (name) => (await readPool(world.store, name))?.wanted));
    assert.deepEqual(sizes, [3, 2]);
    const { round } = (await readPolicy(world.store, POOL, null)) ?? {};
    assert.match(round?.reason ?? '', /but mediawiki grows at the same time; its turn is in \d+ s$/);
  }));

void test('by choice the node on the server with the fewest nodes goes first, so that servers become empty', () =>
  withDeployedWorld(
    async (world) => {
      const votes = await makeVoting(world, { ...WISH, leaves: 'emptiest-server', stabiliseS: 0 });
      await world.run((sql, { rooms }) => startPoolScale(rooms.parts.pools, sql, POOL, 3, tester));
      const all = await listNodes(world.store);
      const carried = (server: string | null) => all.filter((node) => node.server === server).length;
      const fewest = Math.min(...['a', 'b', 'c'].map(carried).filter((count) => count > 0));
      await votes.run(90, 0);
      const left = new Set((await listNodes(world.store)).map(({ name }) => name));
      const gone = all.filter(({ name }) => !left.has(name));
      assert.equal(gone.length, 1);
      assert.equal(carried(gone[0]?.server ?? null), fewest);
    },
    {
      servers: ['a', 'b', 'c'].map((name) => ({ name, cores: 4, memoryBytes: 2 ** 34, diskBytes: 2 ** 38 })),
      cluster: true,
    },
  ));

void test('a pool of workers grows by the runs that wait for each of its nodes, and is refused what only visitors can tell', () =>
  withDeployedWorld(async (world) => {
    await world.run((sql, { rooms }) =>
      startPoolCreate(
        rooms.parts.pools,
        sql,
        newPoolSchema.parse({ name: 'heavy', app: 'wordpress', role: 'worker', size: 1 }),
        tester,
      ),
    );
    const wish: PolicyWish = {
      ...WISH,
      alerts: [{ metric: 'run-queue', is: '>', threshold: 20, forS: 5, vote: 'grow' }],
      calmS: 0,
    };
    const serving = setPolicy(world.controller.rooms.parts.votes, 'heavy', { ...wish, alerts: WISH.alerts }, tester);
    await assert.rejects(serving, { code: 'votes.bad-policy', message: /busy-workers is not known of a worker pool/ });
    assert.deepEqual(await countWaitingRuns(world.store, [POOL]), new Map());
    let [waiting, nowMs] = [50, Date.UTC(2026, 0, 5, 12)];
    const asked: string[] = [];
    const partsOf = (): VotesParts => ({
      ...world.controller.rooms.parts.votes,
      at: () => new Date(nowMs),
      countWaitingRuns: async (_, pools) => {
        asked.push(...pools);
        return new Map([[POOL, waiting]]);
      },
    });
    await setPolicy(partsOf(), 'heavy', wish, tester);
    const look = async () => {
      nowMs += 5_000;
      const nodes = (await listNodes(world.store, { pool: 'heavy' })).map(({ name }) => ({
        node: name,
        ageMs: 0,
        missing: {},
      }));
      await noteSamples(partsOf(), { nodes, edges: [] });
      await countVotes(partsOf(), AbortSignal.timeout(10_000));
      await world.quiet();
      return (await readPool(world.store, 'heavy'))?.wanted;
    };
    assert.deepEqual([await look(), await look()], [1, 2]);
    // 25 for each of two; 16 for each of three.
    assert.deepEqual([await look(), await look(), await look(), await look()], [2, 3, 3, 3]);
    assert.ok(asked.every((pool) => pool === POOL));
    waiting = 0;
    assert.equal(await look(), 3);
  }));
