// `lab exec`: a command or a shell on a server of the lab, on this terminal. Apart because it hands the terminal over.
import { spawn } from 'node:child_process';
import type { Cli } from '../cli.ts';
import type { ExitCode } from '../problems.ts';
import { PROJECT_PATH, renderIncus } from './lab.ts';
import { readLabServer } from './state.ts';

/** Runs it as root in the project's folder; its exit code is the answer. Without a command, a shell. */
export async function runLabExec(cli: Cli, lab: string, name: string, argv: readonly string[]): Promise<ExitCode> {
  await readLabServer(cli, lab, name);
  const command = argv.length === 0 ? ['bash', '-l'] : argv;
  const [program = '', ...args] = renderIncus(lab, 'exec', name, '--cwd', PROJECT_PATH, '--', ...command);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const child = spawn(program, args, { stdio: 'inherit' });
  child.once('error', reject);
  child.once('close', (code) => resolve(code ?? 1));
  return (await promise) as ExitCode;
}
