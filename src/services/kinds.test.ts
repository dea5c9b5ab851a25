// What of a server that answers is worth a warning, and that a container which is down is a server that is away.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findCacheWarning } from '../caches/kind.ts';
import { connectMariadb, findDatabaseWarning } from '../databases/kind.ts';
import { makeSimulatedFleet } from '../engines/simulated/fleet.ts';

const database = {
  version: '11.8',
  readOnly: false,
  uptimeS: 1,
  connections: { used: 89, max: 100 },
  gtidPosition: '',
};

void test('a database server warns of its last tenth of connections and of being read-only', () => {
  assert.equal(findDatabaseWarning(database), undefined);
  const full = findDatabaseWarning({ ...database, connections: { used: 90, max: 100 } });
  assert.match(full ?? '', /90 of 100 connections are in use/);
  assert.match(findDatabaseWarning({ ...database, readOnly: true }) ?? '', /read-only/);
});

void test('a cache server warns of its last fifth of memory and of a disk that it cannot write', () => {
  const health = {
    ...{ version: '8.1', uptimeS: 1, connections: { used: 1, max: 10 } },
    ...{ memory: { usedBytes: 79, maxBytes: 100 }, persistent: true },
  };
  assert.equal(findCacheWarning(health), undefined);
  assert.match(findCacheWarning({ ...health, memory: { usedBytes: 80, maxBytes: 100 } }) ?? '', /80 % of its memory/);
  assert.match(findCacheWarning({ ...health, persistent: false }) ?? '', /cannot write/);
});

void test('a dump waits for a container that is down or gone', async () => {
  const fleet = makeSimulatedFleet({ place: { project: 'test', network: 'test', storagePool: 'test' } });
  await fleet.setUp({ driver: 'btrfs' });
  const engine = connectMariadb(fleet)({ host: '192.0.2.1', port: 3306, user: 'u', password: 'p', instance: 'gone' });
  await assert.rejects(engine.dump('sa', '/d'), { code: 'mariadb.away', retryable: true });
  await engine.close();
});
