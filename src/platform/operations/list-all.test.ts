// More operations than a page holds, on real stores.
import assert from 'node:assert/strict';
import { z } from 'zod';
import { withStores } from '../test-store.ts';
import { HOLDING, isHeld, listAll, listSince, UNDER_WAY } from './list-all.ts';
import { makeOperation } from './operation.ts';
import { makeQuickOperations } from './test-helpers.ts';

withStores((test) => {
  test('what is under way is read whole, beyond one page, and a time ends what is read', async ({ store }) => {
    const operations = makeQuickOperations(store);
    operations.register(
      makeOperation({
        kind: 'thing.make',
        params: z.object({ name: z.string() }),
        locks: ({ name }) => [`thing:${name}`],
        title: ({ name }) => `Make the thing ${name}`,
        steps: () => [],
      }),
    );
    // The driver is not started: they stay pending.
    await store.transaction(async (sql) => {
      for (let n = 0; n < 501; n += 1)
        await operations.start(sql, 'thing.make', { name: `t${n}` }, { by: 'root', reason: 'a test' });
    });
    const all = await listAll(operations, { states: UNDER_WAY });
    assert.equal(new Set(all.map(({ id }) => id)).size, 501);
    const [newest] = all;
    assert.ok(newest !== undefined);
    const newestMs = Date.parse(newest.createdAt);
    assert.equal((await listSince(operations, { kind: 'thing.make' }, newestMs + 1)).length, 0);
    assert.ok((await listSince(operations, { kind: 'thing.make' }, newestMs)).some(({ id }) => id === newest.id));
    assert.equal((await listSince(operations, { kind: 'other' }, 0)).length, 0);
    assert.deepEqual(await listAll(operations, { states: ['fatal'] }), []);
    assert.equal(await isHeld(operations, 'thing:t0'), true);
    assert.equal(await isHeld(operations, 'thing:none'), false);
    assert.deepEqual(HOLDING, [...UNDER_WAY, 'fatal']);
  });
});
