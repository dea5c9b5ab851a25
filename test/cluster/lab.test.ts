// The lab itself: three servers that are machines enough to form an Incus cluster, and that can be broken and mended.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Lab, openLab } from './open-lab.ts';

let lab: Lab;
before(async () => {
  lab = await openLab('esplabtest', 3);
});
after(() => lab.close());

/** Whether s1 can reach a port of another server: a closed one refuses at once, one behind a cut stays silent. */
async function reaches(from: string, to: string): Promise<boolean> {
  const address = (await lab.status()).find(({ name }) => name === to)?.address ?? '';
  const { stderr } = await lab.exec(from, ['timeout', '1', 'bash', '-c', `</dev/tcp/${address}/9`]);
  return stderr.includes('refused');
}

test('three servers run, see each other, and see the same files', async () => {
  assert.deepEqual(
    (await lab.status()).map(({ name, state }) => [name, state]),
    [
      ['s1', 'running'],
      ['s2', 'running'],
      ['s3', 'running'],
    ],
  );
  assert.equal(await reaches('s1', 's2'), true);
  await lab.exec('s1', ['sh', '-c', 'echo here >/srv/espalier/from-s1']);
  assert.equal((await lab.exec('s3', ['cat', '/srv/espalier/from-s1'])).stdout, 'here\n');
  assert.match((await lab.exec('s2', ['./espalier', '--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
});

test('a cut server is not reached until it is healed, also when it was frozen meanwhile', async () => {
  assert.equal((await lab.run('cut', 's2')).code, 0);
  assert.equal((await lab.run('freeze', 's2')).code, 0);
  const broken = (await lab.status()).find(({ name }) => name === 's2');
  assert.deepEqual([broken?.state, broken?.cut], ['frozen', 'from everything, both ways']);
  assert.equal(await reaches('s1', 's2'), false);
  assert.equal(await reaches('s1', 's3'), true);
  assert.equal((await lab.run('heal', 's2')).code, 0);
  assert.equal(await reaches('s1', 's2'), true);
});

test('a cut from the controller leaves all else', async () => {
  const connect = (port: number) => lab.exec('s3', ['timeout', '1', 'bash', '-c', `</dev/tcp/${address}/${port}`]);
  const address = (await lab.status()).find(({ name }) => name === 's1')?.address ?? '';
  assert.equal((await lab.run('cut', 's3', '--from', 'controller')).code, 0);
  assert.equal((await connect(7443)).code, 124);
  assert.match((await connect(9)).stderr, /refused/);
  assert.equal((await lab.run('heal', 's3')).code, 0);
});

test('a killed server is off and comes back with its disk', async () => {
  await lab.exec('s3', ['sh', '-c', 'echo kept >/root/kept; sync']);
  assert.equal((await lab.run('kill', 's3')).code, 0);
  assert.equal((await lab.status()).find(({ name }) => name === 's3')?.state, 'stopped');
  const freeze = await lab.run('freeze', 's3');
  assert.equal(freeze.code, 1);
  assert.match(freeze.stderr, /cli\.lab-server-stopped/);
  assert.equal((await lab.run('heal', 's3')).code, 0);
  assert.equal((await lab.exec('s3', ['cat', '/root/kept'])).stdout, 'kept\n');
});
