// Why a run is on its server: what is stored is told as a sentence, and what earlier versions stored is kept.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readMigrations, runMigrations } from '../platform/migrate.ts';
import { openStore } from '../platform/open-store.ts';
import { renderPlacement, toPlacement } from './placement.ts';

const state = { pressure: 19.6, free: 3, slots: 8 };

void describe('a placement', () => {
  void it('is a few characters in the store and a sentence for people', () => {
    assert.equal(toPlacement(state), '20% 3/8');
    assert.equal(
      renderPlacement('a', toPlacement(state)),
      'a: the only one of its pool with room; 20 % pressure, 3 of 8 slots free',
    );
    assert.equal(toPlacement(state, { server: 'b-2', of: 5 }), '20% 3/8 b-2 5');
    assert.equal(
      renderPlacement('a', toPlacement(state, { server: 'b-2', of: 5 })),
      'a: better than b-2, two of 5 by chance; 20 % pressure, 3 of 8 slots free',
    );
  });

  void it('of a history that was written before it had a column is cut from the sentence, and nothing else changes', async () => {
    const store = await openStore();
    const all = await readMigrations();
    await runMigrations(
      store,
      all.filter(({ number }) => number < 130),
    );
    const chosen = 'a: the only one of its pool with room; 5 % pressure, 4 of 8 slots free';
    await store.query(
      `INSERT INTO run_history (id, epoch, due_at, ended_at, attempt, task, site, kind, state, why)
       SELECT id, epoch, now(), now(), 1, 't', 's', 'tick', state, why
       FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS row (id, epoch, state, why)`,
      [
        [1, 2, null, 4],
        [11, 12, null, null],
        ['succeeded', 'failed', 'skipped', 'cancelled'],
        [
          chosen,
          `${chosen} — killed — by itself`,
          'its run 1 — which is slow — still waits',
          'cancelled by me — today',
        ],
      ],
    );
    await runMigrations(store, all);
    const rows = await store.query('SELECT placement, why FROM run_history ORDER BY epoch, state DESC');
    assert.deepEqual(rows, [
      { placement: chosen, why: '' },
      { placement: chosen, why: 'killed — by itself' },
      { placement: null, why: 'its run 1 — which is slow — still waits' },
      { placement: null, why: 'cancelled by me — today' },
    ]);
    assert.equal(renderPlacement('a', chosen), chosen);
    await store.close();
  });
});
