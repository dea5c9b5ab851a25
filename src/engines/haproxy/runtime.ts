// The conversation with a running HAProxy over its two Unix sockets: the runtime API (admin.sock, answered by the
// worker) and the master's command line (master.sock, which reloads). Apart: the only file of this engine that talks.
import { createConnection, type Socket } from 'node:net';
import { haproxyProblems } from './problems.ts';

/** A command as data. `answers`: what HAProxy may say to it, anything when absent. */
export interface RuntimeCommand {
  line: string;
  answers?: readonly string[];
  /** Set on the removal of a server: its name; a connection may still hold it. */
  leaving?: string;
}

/** One connection to the runtime API. Commands are answered in order. */
export interface RuntimeSession {
  /** Sends the lines at once and reads an answer for each, without the empty lines around it. */
  ask(lines: readonly string[]): Promise<string[]>;
  close(): void;
}

/** Bounds of a conversation. */
export interface TalkOptions {
  signal: AbortSignal;
  /** For each exchange, not for the whole. */
  timeoutMs: number;
}

const BATCH = 64;
const PROMPT = '\n> ';

function toAway(socketPath: string, error: Error) {
  return haproxyProblems.make('away', { socket: socketPath, why: error.message }, error);
}

async function connect(socketPath: string, { signal, timeoutMs }: TalkOptions): Promise<Socket> {
  signal.throwIfAborted();
  const socket = createConnection(socketPath);
  socket.setEncoding('utf8');
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const onAbort = () => reject(signal.reason as Error);
  const timer = setTimeout(
    () => reject(haproxyProblems.make('slow', { socket: socketPath, what: 'Connecting', timeoutMs })),
    timeoutMs,
  );
  signal.addEventListener('abort', onAbort, { once: true });
  socket.once('connect', () => resolve(socket));
  socket.once('error', (error) => reject(toAway(socketPath, error)));
  try {
    return await promise;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

/** Writes `text` and reads until `isWhole` says so, which is asked after each piece and when the other side ends. */
async function exchange(
  socket: Socket,
  socketPath: string,
  text: string,
  isWhole: (received: string, ended: boolean) => boolean,
  { signal, timeoutMs }: TalkOptions,
): Promise<string> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let received = '';
  const what = `"${text.split('\n', 1)[0] ?? ''}"`;
  const onData = (data: string) => {
    received += data;
    if (isWhole(received, false)) resolve(received);
  };
  const onClose = () => {
    if (isWhole(received, true)) resolve(received);
    else reject(toAway(socketPath, new Error('the connection was closed')));
  };
  const onError = (error: Error) => reject(toAway(socketPath, error));
  const onAbort = () => reject(signal.reason as Error);
  const timer = setTimeout(
    () => reject(haproxyProblems.make('slow', { socket: socketPath, what, timeoutMs })),
    timeoutMs,
  );
  socket.on('data', onData).on('close', onClose).on('error', onError);
  signal.addEventListener('abort', onAbort, { once: true });
  socket.write(text);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    socket.off('data', onData).off('close', onClose).off('error', onError);
  }
}

/** Splits what came back in prompt mode: every answer ends with a line `> `; each line of a payload left a `+ `. */
export function parseAnswers(received: string): string[] {
  return received
    .split(/^> /m)
    .slice(0, -1)
    .map((answer) => answer.replace(/^(\+ )+/, '').trim());
}

/** Opens a session; throws haproxy.away (retryable) when HAProxy does not run. Close it when done. */
export async function openRuntime(socketPath: string, options: TalkOptions): Promise<RuntimeSession> {
  const socket = await connect(socketPath, options);
  // Between two exchanges nobody listens for errors, and an error without a listener ends the process.
  socket.on('error', () => undefined);
  const ask = async (lines: readonly string[]) => {
    const isWhole = (received: string) => received.endsWith(PROMPT) && parseAnswers(received).length >= lines.length;
    const text = lines.map((line) => `${line}\n`).join('');
    return parseAnswers(await exchange(socket, socketPath, text, isWhole, options));
  };
  await ask(['prompt']);
  return { ask, close: () => socket.destroy() };
}

/**
 * Gives the commands in bounded batches and checks every answer. A refused one does not keep the others from being
 * given; the first refusal is thrown at the end (haproxy.refused). Returns the servers that could not leave yet.
 */
export async function runCommands(session: RuntimeSession, commands: readonly RuntimeCommand[]): Promise<string[]> {
  const leaving: string[] = [];
  let refused: { command: string; answer: string } | undefined;
  for (let start = 0; start < commands.length; start += BATCH) {
    const batch = commands.slice(start, start + BATCH);
    const answers = await session.ask(batch.map((command) => command.line));
    for (const [index, command] of batch.entries()) {
      const answer = answers[index] ?? '';
      if (command.leaving !== undefined && answer !== 'Server deleted.') leaving.push(command.leaving);
      if (command.answers?.includes(answer) === false) {
        refused ??= { command: command.line.split('\n', 1)[0] ?? '', answer };
      }
    }
  }
  if (refused !== undefined) throw haproxyProblems.make('refused', refused);
  return leaving;
}

/** Reloads through the master, which answers when the new worker serves. Throws haproxy.bad-config with its words. */
export async function runReload(masterSocketPath: string, options: TalkOptions): Promise<void> {
  const socket = await connect(masterSocketPath, options);
  try {
    const answer = await exchange(socket, masterSocketPath, 'reload\n', (_, ended) => ended, options);
    if (!answer.startsWith('Success=1')) {
      const words = answer
        .split('\n')
        .filter((line) => /\[(ALERT|WARNING)\]/.test(line))
        .map((line) => line.replace(/^.*?\)\s*:\s*/, '').trim());
      throw haproxyProblems.make('bad-config', { words: words.join(' | ') || answer.trim() });
    }
  } finally {
    socket.destroy();
  }
}
