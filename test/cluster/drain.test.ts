// Servers of a lab that are emptied, rebooted and used again while real WordPress and MediaWiki are visited; databases and sites that go
// from one server to another; an edge with the shared address and the controller that leads, which are relieved. Nothing may fail, and
// no run may be killed.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { makeSystemClock } from '../../src/lib/clock.ts';
import { type ClusterCommands, giveLead, makeCluster, makeCommands, passAddress, placeEdges } from './open-cluster.ts';
import { type Lab, openLab, SHARED_LAB } from './open-lab.ts';
import { underVisits } from './under-visits.ts';

/** The edges let visitors wait that long at most. */
const HOLD_MS = 20_000;
/** With edges and controllers: one is emptied, then the other. On s3 are the controllers' database and the visitors. */
const [FIRST, SECOND] = ['s1', 's2'] as const;
const LOOKS = 200;
/** Each look is two processes, on the cores on which it is to happen. */
const LOOK_PAUSE_MS = 200;
const clock = makeSystemClock();

interface Row {
  name: string;
  state: string;
  server: string | null;
}
interface EdgeRow extends Row {
  holds: string | null;
}

let lab: Lab;
let commands: ClusterCommands;
const done = (...argv: string[]): Promise<string> => commands.done(FIRST, ...argv);
const list = <T = Row>(noun: string): Promise<T[]> => commands.list<T>(noun);
const nodesOn = async (server: string) => (await list('node')).filter((node) => node.server === server);
const stateOf = async (server: string) => (await list('server')).find(({ name }) => name === server)?.state;
const leading = async () => (await list('controller')).find(({ state }) => state === 'leading')?.name;
const holding = async () => (await list<EdgeRow>('edge')).find(({ holds }) => holds !== null)?.server;
async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (let look = 0; look < LOOKS; look += 1) {
    if (await isSo().catch(() => false)) return;
    await clock.wait(LOOK_PAUSE_MS);
  }
  assert.fail(`it never came to that: ${what}`);
}
const assertNoneFailed = ({ requests, failed, failures }: { requests: number; failed: number; failures: object }) => {
  assert.ok(requests > 20);
  assert.equal(failed, 0, JSON.stringify(failures));
};

before(async () => {
  lab = await openLab(SHARED_LAB, 3);
  commands = makeCommands(lab);
  await makeCluster(lab);
  await placeEdges(commands);
  const address = (await lab.status())[0]?.address.replace(/\d+$/, '250') ?? '';
  await done('edge', 'share', address, '--http-port', '80');
  if ((await list('controller')).length === 1)
    await commands.done(SECOND, 'controller', 'join', await done('controller', 'add', SECOND));
});
after(() => lab.close());

test('a server is emptied under visitors with no failed request, and the runs of its nodes end by themselves', async () => {
  await done('pool', 'scale', 'wordpress', '6');
  assert.equal((await nodesOn(SECOND)).length > 0, true);
  const names = ['one', 'two', 'three', 'four', 'five', 'six'].map((name) => `wordpress/${name}`);
  for (const name of names) {
    // Visitors press the whole machine, which holds up what is not urgent.
    await done('task', 'add', name, '--class', 'urgent', '--', 'sleep', '20');
    await done('task', 'run', name);
  }
  const { report } = await underVisits(lab, () => done('server', 'drain', SECOND, '--patience', '2m'));
  assertNoneFailed(report);
  assert.deepEqual(await nodesOn(SECOND), []);
  assert.equal(await holding(), FIRST);
  for (const name of names) {
    const states = async () => {
      const { items } = JSON.parse(await done('task', 'history', name, '--json')) as { items: { state: string }[] };
      return items.map(({ state }) => state);
    };
    // Those on the other servers may still be under way.
    await until(`${name} has ended`, async () =>
      (await states()).every((state) => !['queued', 'leased', 'running'].includes(state)),
    );
    assert.deepEqual(await states(), ['succeeded'], name);
  }
});

test('it stays empty through a reboot, takes nothing, and is used again when that is said', async () => {
  assert.equal((await lab.run('kill', SECOND)).code, 0);
  assert.equal((await lab.run('heal', SECOND)).code, 0);
  const healedMs = performance.now();
  await until('it is draining, and was heard since', async () => {
    const found = (await list<Row & { silentMs: number }>('server')).find(({ name }) => name === SECOND);
    return found?.state === 'draining' && found.silentMs < performance.now() - healedMs;
  });
  await done('pool', 'scale', 'wordpress', '7');
  assert.deepEqual(await nodesOn(SECOND), []);
  await done('server', 'undrain', SECOND);
  await until('it is ready', async () => (await stateOf(SECOND)) === 'ready');
  await done('pool', 'scale', 'wordpress', '3');
  const on = (await list('node')).filter(({ name }) => name.startsWith('wordpress-')).map(({ server }) => server);
  assert.ok(new Set(on).size >= 2, `three nodes are on ${on.join(', ')}`);
});

test('a database server goes to another server while visitors wait, and none fails', async () => {
  const from = (await list('database'))[0]?.server ?? '';
  const { report } = await underVisits(lab, () => done('database', 'move', 'db1'));
  assert.notEqual((await list('database'))[0]?.server, from);
  assertNoneFailed(report);
  assert.ok(report.longestMs < HOLD_MS, `the longest waited ${report.longestMs} ms`);
});

test('a site goes to nodes of its own, whose uploads have other owners in the shared folder', async () => {
  await done('pool', 'create', 'wordpress-own', '--dedicated-to', 'wordpress', '--size', '1');
  const { report } = await underVisits(lab, () => done('site', 'move', 'wordpress', '--to', 'wordpress-own'));
  assertNoneFailed(report);
  assert.ok(report.longestMs < HOLD_MS, `the longest waited ${report.longestMs} ms`);
});

test('the server with the shared address and the controller that leads is emptied: others have both, and none fails', async () => {
  await giveLead(commands, until);
  await passAddress(commands, SECOND, until);
  assert.deepEqual([await leading(), await holding()], [FIRST, FIRST]);
  const plan = await done('--dry-run', 'server', 'drain', FIRST);
  assert.match(plan, /It is relieved: the edge/);
  assert.match(plan, /It is relieved: the controller; the one on s2 leads then/);
  const { report } = await underVisits(lab, () => done('server', 'drain', FIRST, '--patience', '2m'));
  assertNoneFailed(report);
  const has = async () => [await leading(), await holding()].join();
  await until('the other one leads and holds', async () => (await has()) === [SECOND, SECOND].join());
  assert.equal(await stateOf(FIRST), 'draining');
  assert.deepEqual(await nodesOn(FIRST), []);
  await done('server', 'undrain', FIRST);
});

test('a server is updated: emptied, relieved, rebooted, seen to be well, used again', async () => {
  const { report } = await underVisits(lab, () => done('server', 'update', SECOND, '--reboot', 'always'));
  assertNoneFailed(report);
  const has = async () => [await leading(), await holding(), await stateOf(SECOND)].join();
  await until('the first one leads and holds', async () => (await has()) === [FIRST, FIRST, 'ready'].join());
});
