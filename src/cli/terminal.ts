// Where the command line reads and writes: data on standard output, talk on standard error. Apart so that tests
// read exactly what a person would see.
import { createInterface } from 'node:readline/promises';
import { styleText } from 'node:util';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** The two streams of a person's terminal, or of a script. */
export interface Terminal {
  /** Data. */
  out(text: string): void;
  /** Talk: progress, warnings, problems. */
  err(text: string): void;
  /** True when standard error is a terminal that can be redrawn. */
  readonly live: boolean;
  /** True when a person can be asked. */
  readonly asks: boolean;
  readonly columns: number;
  readonly rows: number;
  /** The text in a style, or plain where colours are not wanted (no terminal, NO_COLOR). */
  paint(style: Style, text: string): string;
  /** One line typed by the person; undefined at end of input or after Ctrl-C. */
  ask(question: string): Promise<string | undefined>;
}

/** The process's own streams. */
export function makeProcessTerminal(env: NodeJS.ProcessEnv = process.env): Terminal {
  const { stdin, stdout, stderr } = process;
  const live = stderr.isTTY === true && env.TERM !== 'dumb' && env.CI === undefined;
  const color = live && (env.NO_COLOR ?? '') === '';
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    live,
    asks: stdin.isTTY === true && stderr.isTTY === true,
    get columns() {
      return stderr.columns ?? 100;
    },
    get rows() {
      return stderr.rows ?? 24;
    },
    paint: (style, text) => (color ? styleText(style, text, { validateStream: false }) : text),
    async ask(question) {
      const prompt = createInterface({ input: stdin, output: stderr });
      const abort = new AbortController();
      prompt.once('SIGINT', () => abort.abort());
      prompt.once('close', () => abort.abort());
      try {
        return await prompt.question(question, { signal: abort.signal });
      } catch {
        return undefined;
      } finally {
        prompt.close();
      }
    },
  };
}

/** A terminal that remembers, for tests; `answers` are what the person types, in order. */
export function makeMemoryTerminal(options: { live?: boolean; answers?: string[] } = {}): Terminal & {
  stdout(): string;
  stderr(): string;
} {
  let out = '';
  let err = '';
  const answers = [...(options.answers ?? [])];
  return {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    live: options.live ?? false,
    asks: options.answers !== undefined,
    columns: 100,
    rows: 24,
    paint: (_style, text) => text,
    ask: (question) => {
      err += `${question}\n`;
      return Promise.resolve(answers.shift());
    },
    stdout: () => out,
    stderr: () => err,
  };
}
