// Many at once: creations that must all succeed, creations of which one must win, and two controllers on one database.
import assert from 'node:assert/strict';
import { Problem } from '../../src/lib/errors.ts';
import { withStores } from '../../src/platform/test-store.ts';
import { healPools } from '../../src/pools/heal.ts';
import { listNodes, storePoolWanted } from '../../src/pools/store.ts';
import { beginSiteCreate, newSiteSchema } from '../../src/sites/admit.ts';
import { listSites } from '../../src/sites/store.ts';
import { countVotes } from '../../src/votes/count.ts';
import { listRounds } from '../../src/votes/store.ts';
import { noteSamples, setPolicy } from '../../src/votes/votes.ts';
import { assertConsistent } from './consistency.ts';
import { tester, type World, withDeployedWorld } from './world.ts';

const AT_ONCE = 50;

const create = (world: World, { name, host }: { name: string; host: string }) =>
  beginSiteCreate(
    world.controller.rooms.parts.sites,
    newSiteSchema.parse({ name, app: 'wordpress', hosts: [host] }),
    tester,
  );

withStores((test, engine) => {
  test(`${AT_ONCE} sites are created at once`, ({ store }) =>
    withDeployedWorld(
      async (world) => {
        const wishes = Array.from({ length: AT_ONCE }, (_, at) => ({ name: `s-${at}`, host: `s-${at}.example` }));
        const begun = await Promise.all(wishes.map((wish) => create(world, wish)));
        const ended = await Promise.all(begun.map(({ id }) => world.ended(id)));
        assert.deepEqual(
          ended.filter(({ state }) => state !== 'succeeded').map(({ problem }) => problem?.detail),
          [],
        );
        const sites = await listSites(world.store, { pool: 'wordpress' });
        assert.equal(new Set(sites.map(({ uid }) => uid)).size, AT_ONCE + 1);
        await assertConsistent(world);
      },
      { store },
    ));

  test('of several creations of the same site or host at once exactly one wins', ({ store }) =>
    withDeployedWorld(
      async (world) => {
        const codesOf = async (wishes: { name: string; host: string }[]) => {
          const outcomes = await Promise.allSettled(wishes.map((wish) => create(world, wish)));
          return outcomes
            .map((one) => (one.status === 'fulfilled' ? 'begun' : one.reason instanceof Problem && one.reason.code))
            .sort();
        };
        const same = ['a', 'b', 'c'].map((host) => ({ name: 'same', host: `${host}.example` }));
        assert.deepEqual(await codesOf(same), ['begun', 'site.taken', 'site.taken']);
        const host = ['x', 'y', 'z'].map((name) => ({ name, host: 'same.example' }));
        assert.deepEqual(await codesOf(host), ['begun', 'site.host-taken', 'site.host-taken']);
        const overlapping = ['shop.example', 'a.shop.example'].map((one, at) => ({ name: `o-${at}`, host: one }));
        assert.deepEqual(await codesOf(overlapping), ['begun', 'site.host-overlaps']);
        await world.quiet();
        await assertConsistent(world);
      },
      { store },
    ));

  if (engine === 'pglite') return;
  test('two controllers make one node for one gap, and share the work', ({ store, openAnother }) =>
    withDeployedWorld(
      async (world) => {
        const first = world.controller;
        const second = await world.startAnother(openAnother());
        for (const wanted of [3, 5, 2]) {
          await storePoolWanted(store, 'wordpress', wanted);
          const looks = [first, second, first, second].map(({ rooms }) =>
            // One of them may be told that the other was faster; its next look finds nothing missing.
            healPools(rooms.parts.pools, AbortSignal.timeout(10_000)).catch((thrown: unknown) => {
              if (!(thrown instanceof Problem && thrown.code === 'operations.locked')) throw thrown;
            }),
          );
          await Promise.all(looks);
          await world.quiet();
          const nodes = await listNodes(store, { pool: 'wordpress' });
          assert.deepEqual(
            nodes.map(({ state }) => state),
            Array.from({ length: wanted }, () => 'ready'),
          );
        }
        await assertConsistent(world);
      },
      { store },
    ));

  test('two controllers that vote keep one row a round and make one resize a calm time', ({ store, openAnother }) =>
    withDeployedWorld(
      async (world) => {
        const POOL = 'wordpress';
        const controllers = [world.controller, await world.startAnother(openAnother())];
        let nowMs = Date.UTC(2026, 0, 5, 12);
        const parts = controllers.map(({ rooms }) => ({ ...rooms.parts.votes, at: () => new Date(nowMs) }));
        const [first] = parts;
        assert.ok(first);
        const alerts = [{ metric: 'busy-workers', is: '>', threshold: 8, forS: 10, vote: 'grow' }] as const;
        const policy = { min: 2, max: 9, alerts: [...alerts], growBy: 1, calmS: 60, intervalS: 1, jitterS: 0 };
        await setPolicy(first, POOL, policy, tester);
        const SECONDS = 180;
        for (let second = 0; second < SECONDS; second += 1) {
          nowMs += 1_000;
          const nodes = (await listNodes(store, { pool: POOL })).map(({ name }) => ({
            ...{ node: name, ageMs: 0, busyWorkers: 9, missing: {} },
          }));
          await noteSamples(first, { nodes, edges: [] });
          await Promise.all([...parts, ...parts].map((one) => countVotes(one, AbortSignal.timeout(10_000))));
          await world.quiet();
        }
        const rounds = await listRounds(store, { pool: POOL, before: undefined, limit: 1_000 });
        assert.equal(rounds.length, SECONDS);
        assert.equal(new Set(rounds.map(({ at }) => at)).size, SECONDS);
        const resizes = rounds.filter(({ size, wanted }) => size !== wanted).map(({ at }) => Date.parse(at));
        assert.equal(resizes.length, 3);
        for (const [index, atMs] of resizes.entries())
          assert.ok(index === 0 || (resizes[index - 1] ?? 0) - atMs >= 60_000, `${resizes}`);
        const { items } = await world.controller.platform.operations.list({ kind: 'pool.scale' });
        assert.equal(items.length, resizes.length);
        assert.equal((await listNodes(store, { pool: POOL })).length, 5);
        await assertConsistent(world);
      },
      { store },
    ));
});
