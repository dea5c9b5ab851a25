// Machines that join by a token, on real Incus: the ways in which they are let in, refused, and taken out again.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Lab, openLab } from './open-lab.ts';

let lab: Lab;
const espalier = (server: string, ...argv: string[]) => lab.exec(server, ['./espalier', ...argv]);
const done = async (server: string, ...argv: string[]): Promise<string> => {
  const { code, stdout, stderr } = await espalier(server, ...argv);
  assert.equal(code, 0, stderr);
  return stdout.trim();
};
const addressOf = async (server: string) => (await lab.status()).find(({ name }) => name === server)?.address ?? '';
const statesOf = async (): Promise<Record<string, string>> => {
  const { items } = JSON.parse(await done('s1', 'server', 'list', '--json')) as {
    items: { name: string; state: string }[];
  };
  return Object.fromEntries(items.map(({ name, state }) => [name, state]));
};

before(async () => {
  lab = await openLab('esplabjoin', 2);
  // Only the controller and the agent: what `up` goes on to build is not needed here.
  const operation = await done('s1', 'up', '--no-wait');
  await espalier('s1', 'operation', 'cancel', operation);
  await espalier('s1', 'operation', 'wait', operation);
});
after(() => lab.close());

test('before there is a cluster nobody can be let in', async () => {
  const { code, stderr } = await espalier('s1', 'server', 'add');
  assert.equal(code, 1);
  assert.match(stderr, /server\.cluster-not-made/);
  const elsewhere = await espalier('s1', 'cluster', 'make', '--address', '192.0.2.77');
  assert.match(elsewhere.stderr, /server\.address-elsewhere/);
});

test('a machine joins by one command within a minute, also when its first attempt broke off', async () => {
  await done('s1', 'cluster', 'make', '--address', await addressOf('s1'), '--content', '/srv/espalier');
  const token = await done('s1', 'server', 'add');
  // The shared folder is not there the first time: it is let in, and stops half way.
  await lab.exec('s2', ['mv', '/srv/espalier/.espalier-content', '/srv/espalier/hidden']);
  const broken = await espalier('s2', 'server', 'join', token);
  assert.match(broken.stderr, /cli\.other-content/);
  assert.equal((await statesOf()).s2, 'joining');
  await lab.exec('s2', ['mv', '/srv/espalier/hidden', '/srv/espalier/.espalier-content']);
  const startedMs = performance.now();
  await done('s2', 'server', 'join', token);
  assert.ok(performance.now() - startedMs < 60_000);
  assert.deepEqual(await statesOf(), { s1: 'ready', s2: 'ready' });
});

test('a cut from the controller is seen, and over when it is healed', async () => {
  const until = async (state: string) => {
    for (let look = 0; look < 60 && (await statesOf()).s2 !== state; look += 1);
    assert.equal((await statesOf()).s2, state);
  };
  await lab.run('cut', 's2', '--from', 'controller');
  await until('lost');
  await lab.run('heal', 's2');
  await until('ready');
});

test('a removed server is not heard any more, and a token of another cluster is not even sent', async () => {
  await done('s1', 'server', 'remove', 's2', '--confirm', 's2');
  assert.deepEqual(await statesOf(), { s1: 'ready' });
  assert.match((await espalier('s1', 'server', 'remove', 's1', '--confirm', 's1')).stderr, /server\.has-controller/);
  const token = await done('s1', 'server', 'add');
  const [controller, , secret, deployment] = JSON.parse(
    Buffer.from(token.slice(4), 'base64url').toString(),
  ) as string[];
  const other = Buffer.from(JSON.stringify([controller, 'ab'.repeat(32), secret, deployment])).toString('base64url');
  assert.match((await espalier('s2', 'server', 'join', `esj_${other}`)).stderr, /cli\.other-controller/);
  assert.match((await espalier('s2', 'server', 'join', token.slice(0, -9))).stderr, /cli\.bad-join-token/);
});
