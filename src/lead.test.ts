// A controller leads, stops leading, and leads again in one process: each term is built anew over the same store, and nothing of
// the last one is left.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeReception } from './api/reception.ts';
import { readBase, readLayer } from './apps/read-recipe.ts';
import { lead } from './lead.ts';
import { makeSystemClock } from './lib/clock.ts';
import { makeSilentLogger } from './lib/log.ts';
import { makeEngines } from './make-engines.ts';
import { readMigrations } from './platform/migrate.ts';
import { openPglite } from './platform/test-store.ts';

const root = join(import.meta.dirname, '..');
const about = {
  ...{
    version: '1',
    deployment: 'again',
    simulated: true,
    store: 'pglite' as const,
    startedAt: '2026-01-01T00:00:00Z',
  },
};

async function withPlace(work: (dataDir: string) => Promise<void>): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'espalier-lead-'));
  try {
    await work(dataDir);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

void test('a term ends whole, and the next one begins anew', () =>
  withPlace(async (dataDir) => {
    const [clock, log] = [makeSystemClock(), makeSilentLogger()];
    const { store, close } = await openPglite(await readMigrations());
    const reception = makeReception({
      about: async () => ({ leads: false }),
      name: 's1',
      readLeader: async () => undefined,
      readIdentity: () => Promise.reject(new Error('there is nobody to go to')),
      log,
    });
    const parts = {
      ...{ deployment: 'again', dataDir, id: 'c1', databaseUrl: undefined, store, about, reception, clock, log },
      engines: makeEngines({ deployment: 'again', dataDir, simulated: true, clock }),
      shelf: {
        base: await readBase(join(root, 'apps/base')),
        node: await readLayer(join(root, 'apps/node')),
        recipes: [],
      },
      ...{ environment: {}, isPortFree: async () => true },
    };
    const ask = async (path: string) => {
      const answer = await reception.fetch(new Request(`http://localhost${path}`), { transport: 'local' });
      return (await answer.json()) as { leads?: boolean; code?: string; items?: { runs: number }[] };
    };
    for (const number of [1, 2]) {
      const ends = new AbortController();
      let lost = false;
      const leading = lead(parts, { number, ends: ends.signal, isLost: () => lost });
      const bound = AbortSignal.timeout(20_000);
      while ((await ask('/v1/about')).leads !== true) await clock.wait(20, bound);
      const { items = [] } = await ask('/v1/loops');
      assert.ok(items.length > 10, `term ${number}`);
      // The first is given up, the second is lost.
      lost = number === 2;
      ends.abort(new Error('the test ends it'));
      await leading;
      assert.equal((await ask('/v1/about')).leads, false);
      assert.equal((await ask('/v1/loops')).code, 'controller.none-leads');
    }
    await close();
  }));
