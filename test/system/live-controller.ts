// The live deployment's controller and agent in the test's own hands, in place of the daemons that `up` started: started
// with faults, seen dying, started again. `release` hands them back.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { stopDaemon } from '../../src/cli/up/daemon.ts';
import { type DaemonSpec, logPathOf } from '../../src/cli/up/daemon-spec.ts';
import { listDaemons, readSettings } from '../../src/cli/up/deployment.ts';
import { readHost } from '../../src/cli/up/host.ts';
import { makeSystemClock } from '../../src/lib/clock.ts';
import { until } from './live-http.ts';
import type { LivePlace } from './live-place.ts';

const START_MS = 60_000;
const DIE_MS = 120_000;
/** Heartbeats come every second. */
const FRESH_MS = 3_000;

export interface LiveDaemon {
  /** Starts it and waits until it is at work. `fault`: an `ESPALIER_FAULT`. `alone`: there is nobody to see it at work. */
  start(how?: { fault?: string; alone?: true }): Promise<void>;
  /** Resolves when it has been killed by its own fault; fails when it ends in another way or lives on. */
  died(): Promise<void>;
  /** Ends it as `kill -9` does, or by SIGTERM in order. */
  kill(signal?: 'SIGKILL' | 'SIGTERM'): Promise<void>;
}

export interface LiveDaemons {
  controller: LiveDaemon;
  agent: LiveDaemon;
  /** Ends both and starts the daemons as `up` does. */
  release(): Promise<void>;
}

/** Takes both over: the daemons are stopped, and started as children that die with this process. */
export async function takeDaemons(place: LivePlace): Promise<LiveDaemons> {
  const { dataDir, api } = place;
  const settings = await readSettings(dataDir);
  assert.ok(settings !== undefined, `${dataDir} holds a deployment`);
  const specs = listDaemons(settings, dataDir, 'test');
  const { systemd } = await readHost(dataDir);
  const parts = { systemd, clock: makeSystemClock(), signal: new AbortController().signal, say: () => undefined };
  for (const spec of specs.toReversed()) await stopDaemon(spec, parts);

  const isLeading = async () => {
    const about = await api.read<{ leads?: boolean }>('/v1/about').catch(() => undefined);
    return about?.leads === true ? true : undefined;
  };
  const isAgentHere = async () => {
    const { items } = await api.read<{ items: { state: string; silentMs?: number }[] }>('/v1/servers');
    return items.every(({ state, silentMs = Infinity }) => state === 'ready' && silentMs < FRESH_MS) ? true : undefined;
  };
  const of = (name: DaemonSpec['name'], isAtWork: () => Promise<true | undefined>): LiveDaemon => {
    const spec = specs.find((one) => one.name === name);
    assert.ok(spec !== undefined);
    return makeLiveDaemon(spec, isAtWork);
  };
  const controller = of('controller', isLeading);
  const agent = of('agent', isAgentHere);
  await controller.start();
  await agent.start();
  return {
    controller,
    agent,
    async release() {
      await agent.kill('SIGTERM');
      await controller.kill('SIGTERM');
      const { code, stderr } = await place.espalier(['up']);
      assert.equal(code, 0, stderr);
    },
  };
}

function makeLiveDaemon(spec: DaemonSpec, isAtWork: () => Promise<true | undefined>): LiveDaemon {
  let child: ChildProcess | undefined;
  let armed = '';
  let exit: Promise<string> = Promise.resolve('not started');

  async function endWithin(timeoutMs: number): Promise<string> {
    const bound = AbortSignal.timeout(timeoutMs);
    const late = new Promise<string>((resolve) => bound.addEventListener('abort', () => resolve('alive')));
    return await Promise.race([exit, late]);
  }

  return {
    async start({ fault = '', alone } = {}) {
      armed = fault;
      const log = await open(logPathOf(spec), 'a', 0o600);
      const env = { PATH: process.env.PATH ?? '', HOME: '/root', ...spec.env, ESPALIER_FAULT: fault };
      // Whatever ends this test ends the child: a controller that nobody knows of would hold the data directory.
      const argv = ['--pdeathsig', 'KILL', ...spec.argv];
      const started = spawn('setpriv', argv, { cwd: spec.cwd, env, stdio: ['ignore', log.fd, log.fd] });
      child = started;
      exit = new Promise((resolve) => {
        started.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
      });
      await log.close();
      if (alone) return;
      const how = await Promise.race([until(`the ${spec.name} at work`, START_MS, isAtWork), exit]);
      // A fault may be met at once, by what it goes on with.
      assert.ok(how === true || fault !== '', `the ${spec.name} ended at its start: ${how}`);
    },
    async died() {
      assert.equal(await endWithin(DIE_MS), 'SIGKILL', `the ${spec.name} did not reach its fault ${armed}`);
    },
    async kill(signal = 'SIGKILL') {
      child?.kill(signal);
      await endWithin(START_MS);
    },
  };
}
