// A detached daemon through its life, on real processes: started once, restarted when it changed, never mistaken for
// another process with its number. The systemd unit as text.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeSystemClock } from '../../lib/clock.ts';
import { isDaemonRunning, startDaemon, stopDaemon } from './daemon.ts';
import type { DaemonParts, DaemonSpec } from './daemon-spec.ts';
import { renderEnvironment, renderUnit, unitNameOf } from './systemd-unit.ts';

const parts: DaemonParts = {
  systemd: false,
  clock: makeSystemClock(),
  signal: new AbortController().signal,
  say: () => undefined,
};

async function makeSpec(t: TestContext, script: string): Promise<DaemonSpec> {
  const dataDir = await mkdtemp(join(tmpdir(), 'espalier-daemon-'));
  const argv = [process.execPath, '-e', script];
  const spec: DaemonSpec = { name: 'agent', deployment: 'demo', dataDir, argv, cwd: '/', env: { A: '1' }, build: 'b1' };
  t.after(async () => {
    await stopDaemon(spec, parts);
    await rm(dataDir, { recursive: true, force: true });
  });
  return spec;
}

const readPid = async (spec: DaemonSpec): Promise<number> =>
  (JSON.parse(await readFile(join(spec.dataDir, 'run/agent.json'), 'utf8')) as { pid: number }).pid;

void test('a daemon is started once, started anew for another build, stopped, and started again', async (t) => {
  const spec = await makeSpec(t, 'setInterval(() => {}, 1000)');
  assert.equal(await startDaemon(spec, parts), 'started');
  const first = await readPid(spec);
  assert.equal(await startDaemon(spec, parts), 'runs');
  assert.equal(await readPid(spec), first);
  assert.equal(await startDaemon({ ...spec, build: 'b2' }, parts), 'restarted, since it changed');
  assert.notEqual(await readPid(spec), first);
  assert.throws(() => process.kill(first, 0), { code: 'ESRCH' });
  assert.equal(await stopDaemon(spec, parts), true);
  assert.equal(await stopDaemon(spec, parts), false);
  assert.equal(await startDaemon(spec, parts), 'started');
});

void test('a record whose number belongs to another process is no daemon of ours, and that process gets no signal', async (t) => {
  const spec = await makeSpec(t, 'setInterval(() => {}, 1000)');
  await startDaemon(spec, parts);
  const path = join(spec.dataDir, 'run/agent.json');
  const record = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  await stopDaemon(spec, parts);
  // This very process: were it mistaken, the test would end here.
  await writeFile(path, JSON.stringify({ ...record, pid: process.pid }));
  assert.equal(await isDaemonRunning(spec, parts), false);
  assert.equal(await stopDaemon(spec, parts), false);
});

void test('a daemon that dies is seen, and its talk is in its log', async (t) => {
  const spec = await makeSpec(
    t,
    'const { A, ESPALIER_TEST_B } = process.env; process.stderr.write(`A=` + A + ` B=` + ESPALIER_TEST_B)',
  );
  process.env.ESPALIER_TEST_B = 'not handed on';
  await startDaemon(spec, parts);
  while (await isDaemonRunning(spec, parts)) await parts.clock.wait(5);
  assert.equal(await readFile(join(spec.dataDir, 'log/agent.log'), 'utf8'), 'A=1 B=undefined');
});

void test('the unit runs the daemon as it is, restarts it for ever, and keeps secrets out of itself', () => {
  const spec: DaemonSpec = {
    ...{ name: 'controller', deployment: 'espalier', dataDir: '/var/lib/espalier', cwd: '/opt/e', build: '1+abc' },
    ...{ argv: ['/opt/e/node', 'src/main.ts', '50% "x"'], env: { ESPALIER_DATABASE_URL: 'postgresql://u:p@h/d' } },
  };
  assert.equal(
    renderUnit(spec),
    `# Written by \`espalier up\`; \`espalier down\` stops it, \`espalier destroy\` removes it.
[Unit]
Description=Espalier controller (espalier)
After=network.target incus.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart="/opt/e/node" "src/main.ts" "50%% \\"x\\""
WorkingDirectory=/opt/e
EnvironmentFile=/var/lib/espalier/run/controller.env
# Build: 1+abc
StandardOutput=append:/var/lib/espalier/log/controller.log
StandardError=append:/var/lib/espalier/log/controller.log
Restart=always
RestartSec=1
KillMode=mixed
TimeoutStopSec=20

[Install]
WantedBy=multi-user.target
`,
  );
  assert.equal(renderEnvironment({ B: 'a "b" \\', A: '1' }), 'A="1"\nB="a \\"b\\" \\\\"\n');
  assert.equal(unitNameOf(spec), 'espalier-controller.service');
  assert.equal(unitNameOf({ name: 'agent', deployment: 'blue' }), 'espalier-blue-agent.service');
});
