// A rehearsal leaves nothing behind, and is refused as the change would be.
import assert from 'node:assert/strict';
import { rehearse } from './rehearse.ts';
import { withStores } from './test-store.ts';

withStores((test) => {
  test('what a rehearsal stores is seen by it and by nobody after it', async ({ store }) => {
    const count = async () => (await store.query<{ n: number }>('SELECT count(*)::int AS n FROM rehearsed'))[0]?.n;
    await store.query('CREATE TABLE rehearsed (n int)');
    const seen = await rehearse(store, async (sql) => {
      await sql.query('INSERT INTO rehearsed VALUES (1)');
      return (await sql.query('SELECT n FROM rehearsed')).length;
    });
    assert.deepEqual([seen, await count()], [1, 0]);
    await assert.rejects(
      rehearse(store, async () => {
        throw new Error('refused');
      }),
      /refused/,
    );
    await store.query('DROP TABLE rehearsed');
  });
});
