// A lab for tests, brought up by the real command line and taken down again. ESPALIER_TEST_KEEP=1 keeps it for the next run. The
// files that need a cluster of three servers share one within a run of all tests, since bringing it up takes minutes.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { LabServer } from '../../src/cli/lab/state.ts';
import { runCommand } from '../../src/cli/run-command.ts';

const ESPALIER = join(import.meta.dirname, '../../espalier');
/** Packages are fetched for the servers' image. */
const UP_MS = 600_000;
/** And images are baked on the first. */
const WHOLE_MS = 2_400_000;
const COMMAND_MS = 1_200_000;

/** Shared by the files of one run (ESPALIER_TEST_RUN), whose runner ends it. Each leaves it whole for the next. */
export const SHARED_LAB = 'espcluster';

export interface CommandOutcome {
  code: number;
  stdout: string;
  stderr: string;
}

export interface Lab {
  /** A verb of `espalier lab` with its arguments. */
  run(verb: string, ...argv: string[]): Promise<CommandOutcome>;
  /** A command on a server, in the project's folder. */
  exec(server: string, argv: readonly string[]): Promise<CommandOutcome>;
  status(): Promise<Omit<LabServer, 'pid'>[]>;
  /** The first process of a server, as this machine numbers processes. */
  pidOf(server: string): Promise<number>;
  close(): Promise<void>;
}

const runLab = (argv: readonly string[], timeoutMs: number): Promise<CommandOutcome> =>
  runCommand([ESPALIER, 'lab', ...argv], { timeoutMs, env: { NO_COLOR: '1' } });

/** Takes the shared lab down, if there is one. */
export async function endSharedLab(): Promise<void> {
  if (process.env.ESPALIER_TEST_KEEP !== '1')
    await runLab(['down', '--lab', SHARED_LAB, '--confirm', SHARED_LAB], COMMAND_MS);
}

/** Brings it up from nothing, or as it was kept. `bare`: the machines alone; else Espalier on all of them, with its first sites. */
export async function openLab(name: string, servers: number, { bare = true }: { bare?: boolean } = {}): Promise<Lab> {
  const down = () => runLab(['down', '--lab', name, '--confirm', name], COMMAND_MS);
  const { ESPALIER_TEST_KEEP: kept, ESPALIER_TEST_RUN: run } = process.env;
  const keeps = kept === '1' || (name === SHARED_LAB && run !== undefined);
  if (!keeps) await down();
  const whole = ['up', '--lab', name, '--servers', String(servers)];
  const up = bare ? await runLab([...whole, '--bare'], UP_MS) : await runLab(whole, WHOLE_MS);
  assert.equal(up.code, 0, up.stderr);
  return {
    run: (verb, ...rest) => runLab([verb, '--lab', name, ...rest], COMMAND_MS),
    exec: (server, argv) => runLab(['exec', '--lab', name, server, '--', ...argv], COMMAND_MS),
    async status() {
      const { stdout } = await runLab(['status', '--lab', name, '--json'], COMMAND_MS);
      return (JSON.parse(stdout) as { servers: Omit<LabServer, 'pid'>[] }).servers;
    },
    async pidOf(server) {
      const argv = ['incus', '--project', name, 'list', server, '--format', 'json'];
      const { stdout } = await runCommand(argv, { timeoutMs: COMMAND_MS });
      const found = (JSON.parse(stdout) as { name: string; state: { pid: number } }[]).find(
        (one) => one.name === server,
      );
      return found?.state.pid ?? assert.fail(`the lab has no ${server}`);
    },
    async close() {
      if (keeps) return;
      const { code, stderr } = await down();
      assert.equal(code, 0, stderr);
    },
  };
}
