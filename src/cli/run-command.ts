// Runs one program of the host with an argument array, a bound and its lines as they come. Apart so that the
// preparation's decisions stay pure and nothing ever goes through a shell.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { cliProblems } from './problems.ts';

export interface CommandOptions {
  timeoutMs: number;
  env?: Record<string, string>;
  /** Each line of both streams as it comes. */
  onLine?: (line: string) => void;
  signal?: AbortSignal;
  cwd?: string;
  /** Given to the program, then its standard input ends; empty without it. */
  stdin?: string;
}

export interface CommandResult {
  /** Exit code; 127 when there is no such program, 124 after the bound, 128 + n after signal n is not told apart: 1. */
  code: number;
  /** Both streams are kept for the caller; stdout alone is data. */
  stdout: string;
  stderr: string;
}

/** Runs it and resolves whatever its exit code is. */
export async function runCommand(argv: readonly string[], options: CommandOptions): Promise<CommandResult> {
  const [program = '', ...args] = argv;
  const timeout = AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C.UTF-8', ...options.env },
    cwd: options.cwd,
    signal,
    killSignal: 'SIGTERM',
  });
  // A program that does not read it closes it.
  child.stdin.once('error', () => undefined);
  child.stdin.end(options.stdin ?? '');
  const collect = (stream: NodeJS.ReadableStream): (() => string) => {
    const lines: string[] = [];
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      options.onLine?.(line);
    });
    return () => lines.map((line) => `${line}\n`).join('');
  };
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const code = await new Promise<number>((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') resolve(127);
      else if (child.pid === undefined) resolve(126);
    });
    child.once('close', (status) => resolve(timeout.aborted ? 124 : (status ?? 1)));
  });
  options.signal?.throwIfAborted();
  return { code, stdout: stdout(), stderr: stderr() };
}

/** Runs it and returns standard output; throws `cli.command-failed` unless it exits with 0. */
export async function runToSuccess(argv: readonly string[], options: CommandOptions): Promise<string> {
  const result = await runCommand(argv, options);
  if (result.code === 0) return result.stdout;
  const ended =
    result.code === 124
      ? `did not end within ${options.timeoutMs / 1000} s`
      : result.code === 127
        ? 'is not installed'
        : `ended with exit code ${result.code}`;
  throw cliProblems.make('command-failed', { command: argv.join(' '), ended });
}
