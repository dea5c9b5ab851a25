// The journal: what is listed, what a watcher sees, and that it misses nothing while others write.
import assert from 'node:assert/strict';
import { makeSystemClock } from '../lib/clock.ts';
import { Problem } from '../lib/errors.ts';
import { type Event, type Events, makeEvents } from './events.ts';
import type { Store } from './store.ts';
import { readPlatformMigrations, withStores } from './test-store.ts';

const clock = makeSystemClock();
const append = (store: Store, events: Events, kind: string, subject = 'site:a') =>
  store.transaction((sql) => events.append(sql, { kind, subject, by: 'root', reason: 'a test', data: { kind } }));

/** The next `count` events that a watcher sees. */
async function take(watched: AsyncIterable<Event>, count: number): Promise<Event[]> {
  const seen: Event[] = [];
  for await (const event of watched) {
    if (seen.push(event) === count) break;
  }
  return seen;
}

const kindsOf = (events: readonly Event[]) => events.map(({ kind }) => kind);

withStores((test, engine) => {
  test('events are listed newest first, by page, by subject and by kind', async ({ store }) => {
    const events = makeEvents({ store, clock });
    for (const kind of ['site.created', 'site.moved', 'pool.created']) await append(store, events, kind);
    await append(store, events, 'site.created', 'site:b');
    const first = await events.list({ limit: 3 });
    assert.deepEqual(kindsOf(first.items), ['site.created', 'pool.created', 'site.moved']);
    assert.ok(first.nextPageToken);
    const second = await events.list({ limit: 3, pageToken: first.nextPageToken });
    assert.deepEqual([kindsOf(second.items), second.nextPageToken], [['site.created'], null]);
    assert.deepEqual(kindsOf((await events.list({ subject: 'site:a', kind: 'site.*' })).items), [
      'site.moved',
      'site.created',
    ]);
    const [{ id, at, ...rest } = assert.fail()] = (await events.list({ subject: 'site:b' })).items;
    assert.deepEqual(rest, {
      kind: 'site.created',
      subject: 'site:b',
      by: 'root',
      reason: 'a test',
      data: { kind: 'site.created' },
    });
    assert.ok(id !== '' && Math.abs(Date.parse(at) - Date.now()) < 60_000);
  });

  test('an event of a transaction that is rolled back never was', async ({ store }) => {
    const events = makeEvents({ store, clock });
    const failing = store.transaction(async (sql) => {
      await events.append(sql, { kind: 'site.created', subject: 'site:a', by: 'root' });
      throw new Error('no');
    });
    await assert.rejects(failing, /no/);
    assert.deepEqual((await events.list()).items, []);
  });

  test('a watcher sees what followed the event it names, and ends with its signal', async ({ store }) => {
    const events = makeEvents({ store, clock });
    await append(store, events, 'a.one');
    const stop = new AbortController();
    const watched = events.watch({ after: await events.readLastId(), signal: stop.signal, kind: 'a.*' });
    await append(store, events, 'b.two');
    await append(store, events, 'a.three');
    assert.deepEqual(kindsOf(await take(watched, 1)), ['a.three']);
    const [first] = (await events.list()).items.slice(-1);
    assert.ok(first);
    const again = events.watch({ after: first.id, signal: stop.signal });
    assert.deepEqual(kindsOf(await take(again, 2)), ['b.two', 'a.three']);
    const quiet = take(events.watch({ signal: stop.signal }), 1);
    stop.abort();
    assert.deepEqual(await quiet, []);
  });

  test('events of another controller arrive, and none is missed or out of order while many write', async ({
    store,
    openAnother,
  }) => {
    const other = store.engine === 'postgresql' ? openAnother() : store;
    const [events, theirs] = [makeEvents({ store, clock, pollMs: 5 }), makeEvents({ store: other, clock })];
    const watched = events.watch({ after: await events.readLastId(), signal: AbortSignal.timeout(30_000) });
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let n = 0; n < 10; n += 1) await append(writer % 2 === 0 ? store : other, theirs, `w${writer}.n${n}`);
    });
    const seen = await take(watched, 80);
    await Promise.all(writers);
    assert.equal(new Set(kindsOf(seen)).size, 80);
    const ids = seen.map(({ id }) => Number(id));
    assert.deepEqual(
      ids,
      ids.toSorted((a, b) => a - b),
    );
    for (let writer = 0; writer < 8; writer += 1) {
      const own = kindsOf(seen).filter((kind) => kind.startsWith(`w${writer}.`));
      assert.deepEqual(
        own,
        Array.from({ length: 10 }, (_, n) => `w${writer}.n${n}`),
      );
    }
  });

  // On PGlite there is one transaction at a time.
  if (engine === 'postgresql') {
    test('a commit that is slow is not overtaken, so its event is not missed', async ({ store }) => {
      const events = makeEvents({ store, clock, pollMs: 5 });
      const gate = Promise.withResolvers<void>();
      const inserted = Promise.withResolvers<void>();
      const slow = store.transaction(async (sql) => {
        await events.append(sql, { kind: 'a.slow', subject: 'site:a', by: 'root' });
        await sql.beforeCommit(async () => {
          inserted.resolve();
          await gate.promise;
        });
      });
      await inserted.promise;
      const watched = take(events.watch({ after: '0', signal: AbortSignal.timeout(10_000) }), 2);
      let overtook = false;
      const quick = append(store, events, 'a.quick').then(() => {
        overtook = true;
      });
      const isWaiting = async () =>
        (await store.query(`select from pg_locks where locktype = 'advisory' and not granted`)).length > 0;
      while (!overtook && !(await isWaiting())) await new Promise((resolve) => setImmediate(resolve));
      gate.resolve();
      assert.equal(overtook, false);
      await Promise.all([slow, quick]);
      assert.deepEqual(kindsOf(await watched), ['a.slow', 'a.quick']);
    });
  }

  test('old events are trimmed, and a watcher that would miss them is told', async ({ store }) => {
    const events = makeEvents({ store, clock });
    for (const kind of ['a.one', 'a.two', 'a.three']) await append(store, events, kind);
    const [, , oldest] = (await events.list()).items;
    assert.ok(oldest);
    await store.query(`update event set at = at - interval '2 days' where kind <> 'a.three'`);
    assert.equal(await events.trim(86_400_000), 2);
    assert.deepEqual(kindsOf((await events.list()).items), ['a.three']);
    const watched = take(events.watch({ after: oldest.id, signal: AbortSignal.timeout(5_000) }), 1);
    await assert.rejects(watched, (error) => error instanceof Problem && error.code === 'events.trimmed');
  });
}, readPlatformMigrations);
