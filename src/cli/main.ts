// The program `espalier`: surroundings, the command that was asked for, its exit code. The only place of the command
// line that touches the process.
import { CommanderError } from 'commander';
import { makeSystemClock } from '../lib/clock.ts';
import { toProblem } from '../lib/errors.ts';
import type { Surroundings } from './cli.ts';
import { renderJson, renderProblem } from './output.ts';
import { type ExitCode, exitCodeOf, exitCodes } from './problems.ts';
import { makeProgram } from './program.ts';
import { makeProcessTerminal } from './terminal.ts';
import { projectDirOf, readVersion } from './up/project.ts';

/** Runs one command line (`argv` without program names) and resolves with its exit code. */
export async function runMain(argv: readonly string[], surroundings: Surroundings): Promise<ExitCode> {
  const { terminal, signal } = surroundings;
  const program = makeProgram(await readVersion(projectDirOf()), surroundings);
  try {
    // `espalier plan server drain s2` is `espalier --dry-run server drain s2`.
    const [first, ...rest] = argv;
    const words = first === 'plan' && rest.length > 0 ? ['--dry-run', ...rest] : [...argv];
    await program.command.parseAsync(words, { from: 'user' });
    return program.exitCode();
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    if (signal.aborted) return exitCodes.interrupted;
    const problem = toProblem(thrown);
    terminal.err(renderProblem(terminal, problem.document));
    if (argv.includes('--json')) terminal.out(renderJson({ problem: problem.document }));
    return exitCodeOf(problem);
  }
}

if (import.meta.main) {
  const interrupt = new AbortController();
  let interrupts = 0;
  const onInterrupt = () => {
    interrupts++;
    // The second Ctrl-C does not wait for anything.
    if (interrupts > 1) process.exit(exitCodes.interrupted);
    interrupt.abort(new Error('interrupted'));
  };
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onInterrupt);
  // The reader of a pipe went away (`espalier event watch | head -1`): nothing is left to say.
  process.stdout.on('error', () => process.exit(exitCodes.done));
  process.exitCode = await runMain(process.argv.slice(2), {
    terminal: makeProcessTerminal(),
    clock: makeSystemClock(),
    env: process.env,
    uid: process.getuid?.() ?? -1,
    signal: interrupt.signal,
  });
}
