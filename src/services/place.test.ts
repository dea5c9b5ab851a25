// Which server a new site gets, and the sentence that says why.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeCatalogue } from '../lib/errors.ts';
import { chooseService } from './place.ts';
import { makeServiceEntries } from './problems.ts';
import type { ServiceRow } from './store.ts';

const problems = makeCatalogue('database', makeServiceEntries('database'));
const server = (name: string, more: Partial<ServiceRow> = {}): ServiceRow => ({
  ...{ name, number: 1, instance: `database-${name}`, server: 's1', address: `10.0.0.${name.at(-1)}`, role: 'primary' },
  ...{ state: 'ready', reason: 'it answers', placement: null, maxSites: 10, memoryMb: 512, image: null, health: null },
  ...{ checkedAt: null, stateSince: '', createdAt: '' },
  ...more,
});

void test('the emptiest by share of its limit is chosen, then the first by name', () => {
  const services = [server('db1'), server('db2', { maxSites: 100 }), server('db3', { maxSites: 100 })];
  const sites = new Map([
    ['db1', 1],
    ['db2', 5],
    ['db3', 5],
  ]);
  assert.deepEqual(chooseService(services, sites, problems), {
    name: 'db2',
    address: '10.0.0.2',
    reason: 'db2 is the emptiest of 3 with room: 5 of 100 sites',
  });
});

void test('servers that are full, not ready or replicas are passed over', () => {
  const services = [
    server('db1', { maxSites: 2 }),
    server('db2', { state: 'unhealthy' }),
    server('db3', { role: 'replica' }),
    server('db4'),
  ];
  const { reason } = chooseService(services, new Map([['db1', 2]]), problems);
  assert.equal(reason, 'db4 is the only one with room: 0 of 10 sites');
});

void test('when none is ready it may be tried again; when all are full it may not', () => {
  assert.throws(() => chooseService([], new Map(), problems), { code: 'database.none-ready', retryable: true });
  const creating = server('db1', { state: 'creating', reason: 'it is being created' });
  assert.throws(() => chooseService([creating], new Map(), problems), /db1 is creating \(it is being created\)/);
  const full = () => chooseService([server('db1')], new Map([['db1', 10]]), problems);
  assert.throws(full, { code: 'database.full', retryable: false });
});
