// Several controllers on one PostgreSQL: no operation in two hands, taken over when its controller is silent.
import assert from 'node:assert/strict';
import { z } from 'zod';
import type { Store } from '../store.ts';
import { readPlatformMigrations, withStores } from '../test-store.ts';
import { makeOperation, type Step } from './operation.ts';
import type { DrivenOperations, OperationsOptions } from './operations.ts';
import { makeQuickOperations } from './test-helpers.ts';

const bound = () => AbortSignal.timeout(30_000);

function makeController(store: Store, work: Step['do'], driver: OperationsOptions['driver'] = {}): DrivenOperations {
  const operations = makeQuickOperations(store, { alone: false, ...driver });
  operations.register(
    makeOperation({
      kind: 'thing.make',
      params: z.object({ name: z.string() }),
      locks: ({ name }) => [name],
      title: ({ name }) => `Make ${name}`,
      steps: () => ['one', 'two'].map((name) => ({ name, timeoutMs: 20_000, do: work })),
    }),
  );
  return operations;
}

const begin = (store: Store, operations: DrivenOperations, name: string) =>
  store.transaction((sql) => operations.start(sql, 'thing.make', { name }, { by: 'test' }));
const expire = (store: Store) => store.query(`update operation set lease_until = now() - interval '1 second'`);
const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

withStores((test, engine) => {
  if (engine === 'pglite') return;

  test('three controllers share many operations, and no step is in two hands', async ({ store, openAnother }) => {
    const atWork = new Map<string, string>();
    const shares = new Map<string, number>();
    const clashes: string[] = [];
    const controllers = [store, openAnother(), openAnother()].map((own, at) =>
      makeController(own, async ({ operationId }) => {
        if (atWork.has(operationId)) clashes.push(operationId);
        atWork.set(operationId, `controller ${at}`);
        await own.query('select pg_sleep(0.005)');
        atWork.delete(operationId);
        shares.set(`controller ${at}`, (shares.get(`controller ${at}`) ?? 0) + 1);
      }),
    );
    const [first] = controllers;
    assert.ok(first);
    for (const { driver } of controllers) await driver.start();
    const begun = await Promise.all(Array.from({ length: 40 }, (_, n) => begin(store, first, `thing-${n}`)));
    for (const { id } of begun) assert.equal((await first.wait(id, bound())).state, 'succeeded');
    for (const { driver } of controllers) await driver.stop();
    assert.deepEqual(clashes, []);
    assert.equal(
      [...shares.values()].reduce((sum, share) => sum + share, 0),
      80,
      'each step ran once',
    );
    assert.ok(shares.size > 1, 'more than one controller worked');
  });

  test('a controller that begins to lead goes on at once with what the last leader gave up', async ({
    store,
    openAnother,
  }) => {
    const begun = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const last = makeController(store, async () => {
      begun.resolve();
      await go.promise;
      return 'from the last leader';
    });
    await last.driver.start();
    const { id } = await begin(store, last, 'thing');
    await begun.promise;
    // Its term is lost; the step under way does not know yet.
    last.driver.abandon();
    const next = makeController(openAnother(), async () => 'from the next', { alone: true });
    await next.driver.start();
    assert.equal((await next.wait(id, bound())).state, 'succeeded');
    go.resolve();
    await last.driver.stop();
    const { steps } = await next.read(id);
    assert.deepEqual(
      steps.map(({ output }) => output),
      ['from the next', 'from the next'],
    );
    await next.driver.stop();
  });

  test('a silent controller is succeeded when its lease runs out, not before, and can store nothing more', async ({
    store,
    openAnother,
  }) => {
    const begun = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    const silent = makeController(store, async () => {
      begun.resolve();
      await go.promise;
      return 'from the silent one';
    });
    await silent.driver.start();
    const { id } = await begin(store, silent, 'thing');
    await begun.promise;
    const other = openAnother();
    const polled = Promise.withResolvers<void>();
    const watching: Store = {
      ...other,
      async query(text, values) {
        const rows = await other.query(text, values);
        if (text.includes('skip locked')) polled.resolve();
        return rows as never[];
      },
    };
    const next = makeController(watching, async () => 'from the next');
    await next.driver.start();
    await polled.promise;
    assert.equal((await next.read(id)).steps[0]?.attempts, 1, 'the lease holds');
    await expire(store);
    const view = await next.wait(id, bound());
    go.resolve();
    await silent.driver.stop();
    assert.deepEqual(
      view.steps.map(({ output, attempts }) => [output, attempts]),
      [
        ['from the next', 2],
        ['from the next', 1],
      ],
    );
    assert.deepEqual(await silent.read(id), view);
    await next.driver.stop();
  });

  test('a controller that cannot renew its lease stops its step before another may take it', async ({
    store,
    openAnother,
  }) => {
    const own = openAnother();
    let cut = false;
    const cutOff: Store = {
      ...own,
      query: (text, values) => (cut ? Promise.reject(new Error('cut off')) : own.query(text, values)),
    };
    const aborted = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const lonely = makeController(
      cutOff,
      async ({ signal }) => {
        begun.resolve();
        await untilAborted(signal).catch(() => {});
        aborted.resolve();
        signal.throwIfAborted();
      },
      { leaseMs: 3_000 },
    );
    await lonely.driver.start();
    const { id } = await begin(store, lonely, 'thing');
    await begun.promise;
    cut = true;
    await aborted.promise;
    const [lease] = await store.query<{ left: boolean }>(
      'select lease_until > clock_timestamp() as left from operation',
    );
    assert.equal(lease?.left, true, 'the step was aborted while the lease still held');
    const next = makeController(store, async () => null);
    await next.driver.start();
    assert.equal((await next.wait(id, bound())).state, 'succeeded');
    await next.driver.stop();
    await lonely.driver.stop();
  });

  test('a lease is renewed for as long as a step takes, and a cancellation elsewhere arrives with it', async ({
    store,
    openAnother,
  }) => {
    const begun = Promise.withResolvers<void>();
    const slow = makeController(
      openAnother(),
      async ({ signal }) => {
        begun.resolve();
        await untilAborted(signal);
      },
      { leaseMs: 3_000 },
    );
    await slow.driver.start();
    const { id } = await begin(store, slow, 'thing');
    await begun.promise;
    // Only now: it looks for work too, and would begin the operation itself.
    const eager = makeController(store, async () => 'stolen');
    await eager.driver.start();
    const [before] = await store.query<{ until: string }>('select lease_until as until from operation');
    for (let until = before?.until; until === before?.until; ) {
      await store.query('select pg_sleep(0.02)');
      [{ until } = { until: '' }] = await store.query<{ until: string }>('select lease_until as until from operation');
    }
    await eager.cancel(id, 'ann');
    const view = await eager.wait(id, bound());
    assert.deepEqual([view.state, view.steps[0]?.attempts, view.steps[0]?.output], ['cancelled', 1, null]);
    await slow.driver.stop();
    await eager.driver.stop();
  });
}, readPlatformMigrations);
