// Servers of a lab that are emptied, rebooted and used again while real WordPress and MediaWiki are visited; databases and sites that go
// from one server to another. Nothing may fail, and no run may be killed.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Lab, openLab } from './open-lab.ts';
import { underVisits as visitWhile } from './under-visits.ts';

/** The edges let visitors wait that long at most. */
const HOLD_MS = 20_000;

let lab: Lab;
const underVisits = <T>(work: () => Promise<T>) => visitWhile(lab, work);
const espalier = (...argv: string[]) => lab.exec('s1', ['./espalier', ...argv]);
const done = async (...argv: string[]): Promise<string> => {
  const { code, stdout, stderr } = await espalier(...argv);
  assert.equal(code, 0, `${argv.join(' ')}: ${stderr}`);
  return stdout.trim();
};
interface Row {
  name: string;
  state: string;
  server: string | null;
}
const list = async (noun: string): Promise<Row[]> =>
  (JSON.parse(await done(noun, 'list', '--json')) as { items: Row[] }).items;
const nodesOn = async (server: string) => (await list('node')).filter((node) => node.server === server);

before(async () => {
  lab = await openLab('esplabdrain', 3, { bare: false });
});
after(() => lab.close());

test('a server is emptied under visitors with no failed request, and the runs of its nodes end by themselves', async () => {
  await done('pool', 'scale', 'wordpress', '6');
  assert.equal((await nodesOn('s2')).length > 0, true);
  const names = ['one', 'two', 'three', 'four', 'five', 'six'].map((name) => `wordpress/${name}`);
  for (const name of names) {
    await done('task', 'add', name, '--', 'sleep', '20');
    await done('task', 'run', name);
  }
  const { report } = await underVisits(() => done('server', 'drain', 's2', '--patience', '2m'));
  assert.ok(report.requests > 20);
  assert.equal(report.failed, 0, JSON.stringify(report.failures));
  assert.deepEqual(await nodesOn('s2'), []);
  for (const name of names) {
    const history = JSON.parse(await done('task', 'history', name, '--json')) as { items: { state: string }[] };
    assert.deepEqual(
      history.items.map(({ state }) => state),
      ['succeeded'],
      name,
    );
  }
});

test('it stays empty through a reboot, takes nothing, and is used again when that is said', async () => {
  assert.equal((await lab.run('kill', 's2')).code, 0);
  assert.equal((await lab.run('heal', 's2')).code, 0);
  const stateOf = async () => (await list('server')).find(({ name }) => name === 's2')?.state;
  for (let look = 0; look < 120 && (await stateOf()) !== 'draining'; look += 1);
  assert.equal(await stateOf(), 'draining');
  await done('pool', 'scale', 'wordpress', '7');
  assert.deepEqual(await nodesOn('s2'), []);
  await done('server', 'undrain', 's2');
  assert.equal(await stateOf(), 'ready');
  await done('pool', 'scale', 'wordpress', '3');
  const on = (await list('node')).filter(({ name }) => name.startsWith('wordpress-')).map(({ server }) => server);
  assert.ok(new Set(on).size >= 2, `three nodes are on ${on.join(', ')}`);
});

test('a database server goes to another server while visitors wait, and none fails', async () => {
  const from = (await list('database'))[0]?.server ?? '';
  const { report } = await underVisits(() => done('database', 'move', 'db1'));
  assert.notEqual((await list('database'))[0]?.server, from);
  assert.equal(report.failed, 0, JSON.stringify(report.failures));
  assert.ok(report.longestMs < HOLD_MS, `the longest waited ${report.longestMs} ms`);
});

test('a site goes to nodes of its own, whose uploads have other owners in the shared folder', async () => {
  await done('pool', 'create', 'wordpress-own', '--dedicated-to', 'wordpress', '--size', '1');
  const { report } = await underVisits(() => done('site', 'move', 'wordpress', '--to', 'wordpress-own'));
  assert.equal(report.failed, 0, JSON.stringify(report.failures));
  assert.ok(report.longestMs < 5_000, `the longest waited ${report.longestMs} ms`);
});

test('a server is updated: emptied, rebooted, seen to be well, used again', async () => {
  const { report } = await underVisits(() => done('server', 'update', 's3', '--reboot', 'always', '--leave-behind'));
  assert.equal(report.failed, 0, JSON.stringify(report.failures));
  assert.equal((await list('server')).find(({ name }) => name === 's3')?.state, 'ready');
});
