import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { RunResult } from '../../protocol/contract.ts';
import { type JournalEntry, openJournal, parseJournal } from './journal.ts';

const RESULT: RunResult = {
  ...{ cause: 'exit', code: 0, signal: null, cpuS: null, peakMemoryBytes: null, startedAt: null },
  ...{ endedAt: '2026-11-21T10:00:00.000Z', tail: 'said "it"\n' },
};

function makeEntry(id: number): JournalEntry {
  const order = {
    ...{ id, epoch: id * 10, task: 't', node: 'n', site: 's', uid: 10_000, argv: ['true'], timeoutS: 1 },
    ...{ limits: { cpuPercent: null, memoryMb: null }, overlapKey: `k${id}` },
  };
  return { order, beganMs: 1_000 + id };
}

void describe('the journal of runs', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'espalier-journal-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  void it('finds again what was begun and has ended, and nothing that was dropped', async () => {
    const file = join(folder, 'plain/journal');
    const journal = await openJournal(file);
    assert.deepEqual(journal.found, []);
    await Promise.all([journal.began([makeEntry(1), makeEntry(2)]), journal.began([makeEntry(3)])]);
    await Promise.all([journal.ended(2, RESULT), journal.dropped([1])]);
    // As a killed agent leaves it: not closed.
    const again = await openJournal(file);
    assert.deepEqual(again.found, [{ ...makeEntry(2), result: RESULT }, makeEntry(3)]);
    await Promise.all([journal.close(), again.close()]);
  });

  void it('passes over a line that was torn', async () => {
    const file = join(folder, 'torn');
    const journal = await openJournal(file);
    await journal.began([makeEntry(1)]);
    await journal.close();
    await appendFile(file, '{"ended":{"id":1,"result":{"cause":"ex');
    const again = await openJournal(file);
    assert.deepEqual(again.found, [makeEntry(1)]);
    await again.close();
    assert.equal(parseJournal('\0\0\n[1]\n"x"\n').size, 0);
  });

  void it('does not grow with what is over', async () => {
    const file = join(folder, 'long');
    const journal = await openJournal(file, 50);
    await journal.began([makeEntry(9_999)]);
    for (let id = 1; id <= 100; id++) {
      await journal.began([makeEntry(id)]);
      await journal.ended(id, RESULT);
      await journal.dropped([id]);
    }
    await journal.close();
    assert.ok((await readFile(file, 'utf8')).split('\n').length < 60);
    const again = await openJournal(file);
    assert.deepEqual(again.found, [makeEntry(9_999)]);
    await again.close();
  });

  void it('tells who asked when it cannot write, and writes on afterwards', async () => {
    const file = join(folder, 'closed');
    const journal = await openJournal(file);
    await journal.close();
    await assert.rejects(journal.began([makeEntry(1)]));
    await assert.rejects(journal.ended(1, RESULT));
  });
});
