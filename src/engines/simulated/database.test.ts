// The simulated database server against the suite of all database engines, and its faults.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeDatabaseEngine } from '../database-conformance.ts';
import { mariadbProblems } from '../mariadb/problems.ts';
import { makeSimulatedDatabase } from './database.ts';

const twin = makeSimulatedDatabase();

describeDatabaseEngine('the simulated database server', async () => ({
  engine: twin,
  allowedFrom: '10.0.0.0/255.255.255.0',
  login: async (site) => {
    const session = twin.login(site.user, site.password, site.name);
    return {
      write: async (note) => session.write(note),
      read: async (database) => session.read(database),
      close: async () => session.close(),
    };
  },
}));

void test('a simulated database server fails as often as it is told, before or after its work', async () => {
  const engine = makeSimulatedDatabase();
  const site = {
    name: 'saaaaaaaaa',
    user: 'saaaaaaaaa',
    password: 'p',
    allowedFrom: '%',
    limits: { connections: 1, statementTimeS: 1 },
  };
  const error = mariadbProblems.make('busy', { server: 'db', why: 'told to be' });
  engine.faults.failNext('createSite', error, { times: 2 });
  await assert.rejects(engine.createSite(site), error);
  await assert.rejects(engine.createSite(site), error);
  assert.deepEqual(await engine.listSites(), []);
  engine.faults.failNext('createSite', error, { after: true });
  await assert.rejects(engine.createSite(site), error);
  assert.equal((await engine.listSites()).length, 1);
  engine.faults.setAway(() => mariadbProblems.make('away', { server: 'db', why: 'told to be' }));
  await assert.rejects(engine.checkHealth(), { code: 'mariadb.away' });
  engine.faults.setAway(undefined);
  await engine.checkHealth();
  assert.equal(engine.faults.calls('createSite'), 3);
});
