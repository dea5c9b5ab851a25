import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { databaseCeiling, memoryCeiling } from './ceiling.ts';

const server = (name: string, freeMb: number, nodesMb = 0, ofPool = 0) => ({ name, freeMb, nodesMb, ofPool });
const pool = { wanted: 2, nodeMemoryMb: 500, reservedMb: 500, most: 20 };

void describe('a ceiling', () => {
  void it('comes from the memory of the only server', () => {
    assert.equal(memoryCeiling([server('a', 2_200)], pool)?.most, 5);
    assert.match(
      memoryCeiling([server('a', 900)], pool)?.why ?? '',
      /^no server has 500 MB and 500 MB to spare \(a 900 MB free\)$/,
    );
    assert.equal(memoryCeiling([server('a', 100_000)], pool), undefined);
    assert.deepEqual(memoryCeiling([], pool), { most: 2, why: 'no server is ready' });
  });

  void it('leaves room on the others for the nodes of one server that is lost', () => {
    const found = memoryCeiling([server('a', 3_000, 500, 1), server('b', 3_000, 500, 1)], pool);
    assert.equal(found?.most, 6);
    assert.match(found?.why ?? '', /^were a lost, the others could not take its 2000 MB of nodes/);
  });

  void it('never lets a server carry more than the others could take, wherever growth began from a safe place', () => {
    const any = fc.array(fc.record({ freeMb: fc.integer({ min: 500, max: 9_000 }) }), { minLength: 2, maxLength: 5 });
    fc.assert(
      fc.property(any, (servers) => {
        const list = servers.map(({ freeMb }, index) => server(`s${index}`, freeMb));
        const most = memoryCeiling(list, { ...pool, wanted: 0 })?.most ?? pool.most;
        const all = list.reduce((sum, { freeMb }) => sum + Math.max(0, freeMb - pool.reservedMb), 0);
        assert.ok(most * pool.nodeMemoryMb <= all);
      }),
    );
  });

  void it("comes from the database's free connections and a node's workers", () => {
    const found = databaseCeiling(
      [
        { name: 'db1', used: 60, max: 100 },
        { name: 'db2', used: 0, max: 500 },
      ],
      { wanted: 3, workers: 10 },
    );
    assert.deepEqual(found, { most: 6, why: 'db1 has 30 connections to spare, and a node takes up to 10' });
    assert.equal(databaseCeiling([{ name: 'db1', used: 99, max: 100 }], { wanted: 3, workers: 10 })?.most, 3);
    assert.equal(databaseCeiling([], { wanted: 3, workers: 10 }), undefined);
  });
});
