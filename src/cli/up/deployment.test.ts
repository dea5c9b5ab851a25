// What a deployment remembers, and that simulated and real ones never mix.
import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Problem } from '../../lib/errors.ts';
import { type DeploymentSettings, joinSettings, listDaemons, readSettings, writeSettings } from './deployment.ts';

const NOW = { deployment: 'espalier', simulated: undefined, apiPort: undefined, env: {} };
const BEFORE: DeploymentSettings = {
  deployment: 'espalier',
  simulated: false,
  apiPort: 8444,
  env: { ESPALIER_DATABASE_URL: 'x' },
};

void test('what was given once is remembered, what is given now wins, and the client settings stay out', () => {
  const env = { ESPALIER_LOG_LEVEL: 'debug', ESPALIER_TOKEN: 'secret', HOME: '/root' };
  assert.deepEqual(joinSettings({ ...NOW, env, apiPort: 9000 }, BEFORE, '/d'), {
    ...{ deployment: 'espalier', simulated: false, apiPort: 9000 },
    env: { ESPALIER_DATABASE_URL: 'x', ESPALIER_LOG_LEVEL: 'debug' },
  });
  assert.deepEqual(joinSettings({ ...NOW, simulated: true }, undefined, '/d'), {
    deployment: 'espalier',
    simulated: true,
    env: {},
  });
});

void test('a data directory of another deployment, or of the other kind, is refused', () => {
  for (const now of [
    { ...NOW, deployment: 'blue' },
    { ...NOW, simulated: true },
  ]) {
    const isRefusal = (thrown: unknown) => thrown instanceof Problem && thrown.code === 'cli.other-deployment';
    assert.throws(() => joinSettings(now, BEFORE, '/d'), isRefusal);
  }
});

void test('settings survive, readable by their owner alone', async (t) => {
  const dir = join(await mkdtemp(join(tmpdir(), 'espalier-settings-')), 'data');
  t.after(() => rm(join(dir, '..'), { recursive: true }));
  assert.equal(await readSettings(dir), undefined);
  await writeSettings(dir, BEFORE);
  assert.deepEqual(await readSettings(dir), BEFORE);
  assert.equal((await stat(dir)).mode & 0o777, 0o700);
  assert.equal((await stat(join(dir, 'deployment.json'))).mode & 0o777, 0o600);
});

void test('the settings reach the controller, and of them an agent gets only what it reads', () => {
  const env = { ESPALIER_DATABASE_URL: 'postgresql://u:secret@h/d', ESPALIER_LOG_LEVEL: 'debug' };
  const [controller, agent] = listDaemons({ ...BEFORE, env }, '/d', 'b').map((daemon) => daemon.env);
  assert.equal(controller?.ESPALIER_DATABASE_URL, env.ESPALIER_DATABASE_URL);
  assert.equal(agent?.ESPALIER_LOG_LEVEL, 'debug');
  assert.doesNotMatch(JSON.stringify(agent), /secret/);
});

void test('a real deployment has controller and agent, a simulated one the controller alone', () => {
  const tails = (settings: DeploymentSettings) =>
    listDaemons(settings, '/d', 'b').map(({ argv }) => argv.slice(2).join(' '));
  assert.deepEqual(tails(BEFORE), [
    '--deployment espalier --data-dir /d --api-port 8444',
    '--deployment espalier --data-dir /d',
  ]);
  assert.deepEqual(tails({ deployment: 'look', simulated: true, env: {} }), [
    '--deployment look --data-dir /d --simulated',
  ]);
});
