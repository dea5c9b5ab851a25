// Processes of the benchmark: started, listened to line by line, ended with it. Apart because ours and the others' are both such.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface Child {
  readonly process: ChildProcess;
  /** The next line of its output, parsed; rejects when it ends before or the time is over. */
  next<T>(timeoutMs: number): Promise<T>;
  /** Ends it, however it is. */
  kill(): Promise<void>;
}

/** Starts `node NAME JSON` from this folder. A child ends when its standard input does, so also when this process dies. */
export function startChild(name: string, order: unknown): Child {
  const child = spawn(process.execPath, [join(import.meta.dirname, name), JSON.stringify(order)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    // A group of its own: what it starts is stopped and killed with it.
    detached: true,
  });
  const lines: string[] = [];
  let wake = (): void => {};
  let ended = false;
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    wake();
  });
  child.once('exit', () => {
    ended = true;
    wake();
  });
  return {
    process: child,
    async next<T>(timeoutMs: number): Promise<T> {
      const untilMs = performance.now() + timeoutMs;
      for (;;) {
        const line = lines.shift();
        if (line !== undefined) return JSON.parse(line) as T;
        const leftMs = untilMs - performance.now();
        if (ended || leftMs <= 0)
          throw new Error(
            `${name} ${ended ? 'ended' : `said nothing for ${timeoutMs / 1000} s`}: ${JSON.stringify(order)}`,
          );
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, leftMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
      const exit = once(child, 'exit');
      signalGroup(child, 'SIGKILL');
      await exit;
    },
  };
}

/** Sends a signal to the child and all that it started. */
export function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}
