// The embedded engine shares the controller's process: whatever is asked of it, everything else has its turn too.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeStore } from './make-store.ts';
import { makePgliteLender } from './pglite.ts';

test('timers have their turn while many who never stop asking are served one after the other', async () => {
  const store = makeStore(await makePgliteLender({}));
  let isOver = false;
  const ask = async () => {
    for (let count = 0; count < 200 && !isOver; count += 1) await store.query('select 1');
  };
  const asking = Promise.all(Array.from({ length: 50 }, ask));
  let answered = 0;
  void asking.then(() => (answered += 1));
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(answered, 0, 'the timer had to wait until nobody asked any more');
  isOver = true;
  await asking;
  await store.close();
});
