// A command line as people type it, against a whole controller over simulated engines. Apart because tests of several nouns
// use it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeApi } from '../../src/api/api.ts';
import { serveApi } from '../../src/api/server.ts';
import { runMain } from '../../src/cli/main.ts';
import { makeMemoryTerminal } from '../../src/cli/terminal.ts';
import { makeSilentLogger } from '../../src/lib/log.ts';
import { type World, withDeployedWorld } from './world.ts';

export type Say = (line: string) => Promise<{ code: number; out: string; err: string }>;

/** Gives the test a command line of this world; a line is split at blanks. */
export async function withCommandLine(work: (say: Say, world: World) => Promise<void>): Promise<void> {
  await withDeployedWorld(async (world) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'espalier-tasks-'));
    const { platform, rooms } = world.controller;
    const log = makeSilentLogger();
    const closing = new AbortController();
    const api = makeApi({
      about: { version: 'test', build: 'test', deployment: 'faults', simulated: true, store: 'pglite', startedAt: '' },
      rooms: rooms.routes,
      operations: platform.operations,
      events: platform.events,
      loops: platform.loops,
      checks: rooms.checks,
      subjectOf: rooms.subjectOf,
      authenticate: platform.authenticate,
      idempotency: platform.idempotency,
      closing: closing.signal,
      clock: world.clock,
      log,
    });
    const options = { socketPath: join(dataDir, 'controller.sock') };
    const server = await serveApi({ api, acceptAgent: (socket) => socket.terminate(), options, log });
    try {
      await work(async (line) => {
        const terminal = makeMemoryTerminal({});
        const env = { HOME: dataDir, ESPALIER_DATA_DIR: dataDir };
        const signal = AbortSignal.timeout(20_000);
        const code = await runMain(line.split(' '), { terminal, clock: world.clock, env, uid: 0, signal });
        return { code, out: terminal.stdout(), err: terminal.stderr() };
      }, world);
    } finally {
      closing.abort();
      await server.close();
      await rm(dataDir, { recursive: true, force: true });
    }
  });
}
