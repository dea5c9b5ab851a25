// Runs one command on this machine from an argument array, never through a shell, bounded in time and output. The one
// executor for what pure functions render; apart so that nothing else spawns.
import { spawn } from 'node:child_process';

export interface CommandResult {
  /** Exit code; 128 when a signal ended it. */
  code: number;
  stdout: Buffer;
  /** The last 64 KiB. */
  stderr: string;
}

const STDERR_KEPT_BYTES = 64 * 1024;
const STDOUT_MAX_BYTES = 256 * 1024 * 1024;

/** Runs it to its end; at the bound or an abort it is killed and the promise rejects. Rejects when it cannot start. */
export function runCommand(
  argv: readonly string[],
  options: {
    timeoutMs: number;
    signal?: AbortSignal;
    onLine?: (line: string) => void;
    /** Given to it at once; without it standard input is empty. */
    stdin?: string;
  },
): Promise<CommandResult> {
  const [program = '', ...rest] = argv;
  const bounds = [AbortSignal.timeout(options.timeoutMs), ...(options.signal === undefined ? [] : [options.signal])];
  const signal = AbortSignal.any(bounds);
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' });
    // It may end before it has read all.
    child.stdin.on('error', () => {});
    child.stdin.end(options.stdin ?? '');
    const out: Buffer[] = [];
    let size = 0;
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= STDOUT_MAX_BYTES) out.push(chunk);
    });
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (text: string) => {
      errors = (errors + text).slice(-STDERR_KEPT_BYTES);
      for (const line of text.split('\n')) if (line.trim() !== '') options.onLine?.(line);
    });
    child.on('error', (error) => reject(signal.aborted ? (signal.reason as Error) : error));
    child.on('close', (code) => resolve({ code: code ?? 128, stdout: Buffer.concat(out), stderr: errors }));
  });
}
