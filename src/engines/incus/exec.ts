// Commands in containers over Incus's exec websockets. Apart because of its protocol: one websocket each for
// standard input, output and error, and one for control, whose end makes Incus kill the command (SIGKILL), so that
// nothing runs on when we time out, abort or die. An empty text message means "end of file" in either direction.
import type { WebSocket } from 'ws';
import { Problem } from '../../lib/errors.ts';
import type { ExecOptions, ExecResult } from '../fleet.ts';
import { CHANGE_TIMEOUT_MS, type IncusClient, toPath } from './client.ts';
import { incusProblems, toIncusProblem } from './problems.ts';
import { renderExecRequest } from './render.ts';
import type { WireOperation } from './wire.ts';

const DEFAULT_OUTPUT_BYTES = 1024 * 1024;
/** Standard input goes in pieces of this size, so that a slow command holds us back instead of filling memory. */
const STDIN_PIECE_BYTES = 256 * 1024;
/** The engine sends all output before it says that a command has ended: a socket that has not ended then has lost its end. */
const LAST_LOOKS = 10;
const LAST_LOOK_MS = 200;
/** How much of the output a problem quotes. */
const LAST_WORDS = 400;

/** Runs a command in a container; see Fleet.exec. */
export async function runExec(
  client: IncusClient,
  name: string,
  argv: readonly string[],
  options: ExecOptions = {},
): Promise<ExecResult> {
  const timeoutMs = options.timeoutMs ?? CHANGE_TIMEOUT_MS;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  const what = `container ${name}`;
  const keep = options.maxOutputBytes ?? DEFAULT_OUTPUT_BYTES;
  const stdout = makeTail(keep, options.onOutput && ((text) => options.onOutput?.(text, 'stdout')));
  const stderr = makeTail(keep, options.onOutput && ((text) => options.onOutput?.(text, 'stderr')));
  const sockets: WebSocket[] = [];
  // From here on every way out ends the control socket, and with it the command.
  const stop = () => {
    for (const socket of sockets) socket.terminate();
  };
  try {
    const operation = await client.begin(
      {
        method: 'POST',
        path: toPath('instances', name, 'exec'),
        what,
        json: renderExecRequest(argv, options),
      },
      { signal, timeoutMs },
    );
    signal.addEventListener('abort', stop, { once: true });
    const fds = (operation.metadata?.fds ?? {}) as Record<string, string>;
    const open = (fd: string) => {
      // Pongs are not wanted here, and harm: a write to a socket that the engine has just closed would destroy ours
      // with output in it that we have not read.
      const path = `${toPath('operations', operation.id)}/websocket`;
      const socket = client.openSocket(path, { secret: fds[fd] }, { autoPong: false });
      // A failing socket shows in the operation's end; here it only must not be an unhandled error.
      socket.on('error', () => {});
      sockets.push(socket);
      return socket;
    };
    open('control');
    // Nobody waits for it: a command that has ended reads no more.
    void sendInput(open('0'), options.stdin);
    const received = Promise.all([readOutput(open('1'), stdout), readOutput(open('2'), stderr)]);
    const ended = await client.waitFor(operation.id, what, { signal, timeoutMs });
    // By looks and not by time: one that stalls itself must read before it gives up.
    let left = LAST_LOOKS;
    const late = setInterval(() => --left === 0 && stop(), LAST_LOOK_MS);
    await received;
    clearInterval(late);
    signal.throwIfAborted();
    return {
      code: toExitCode(what, ended),
      stdout: stdout.text(),
      stderr: stderr.text(),
      truncated: stdout.truncated() || stderr.truncated(),
    };
  } catch (thrown) {
    if (options.signal?.aborted) throw options.signal.reason;
    const timedOut = timeout.aborted || (thrown instanceof Problem && thrown.code === 'incus.timed-out');
    if (!timedOut) throw thrown;
    const output = (stderr.text().trim() || stdout.text().trim()).slice(-LAST_WORDS);
    const program = argv[0] ?? '';
    throw incusProblems.make('exec-timed-out', { what, program, seconds: timeoutMs / 1000, output }, thrown);
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
  }
}

/** Exit code of an ended exec operation. A program that is absent is 127, one not executable 126, as a shell says it. */
export function toExitCode(what: string, ended: WireOperation | undefined): number {
  if (ended === undefined) throw incusProblems.make('outcome-unknown', { what });
  const code = ended.metadata?.return;
  if (typeof code === 'number' && code >= 0) return code;
  if (/command not found/i.test(ended.err)) return 127;
  if (/command not executable/i.test(ended.err)) return 126;
  throw toIncusProblem(what, 0, ended.err || ended.status);
}

/** Sends standard input and its end; resolves also when the command stops listening. */
async function sendInput(socket: WebSocket, stdin: string | Uint8Array | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    socket.once('open', () => resolve());
    socket.once('close', () => resolve());
  });
  const bytes = typeof stdin === 'string' ? Buffer.from(stdin) : (stdin ?? new Uint8Array());
  const send = (data: Uint8Array | string) =>
    new Promise<void>((resolve) => {
      if (socket.readyState !== socket.OPEN) resolve();
      else socket.send(data, { binary: typeof data !== 'string' }, () => resolve());
    });
  for (let at = 0; at < bytes.length; at += STDIN_PIECE_BYTES) {
    await send(bytes.subarray(at, at + STDIN_PIECE_BYTES));
  }
  await send('');
}

/** Reads a socket to its end of file or close. */
async function readOutput(socket: WebSocket, tail: Tail): Promise<void> {
  await new Promise<void>((resolve) => {
    socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) tail.push(data);
      else resolve();
    });
    socket.once('close', () => resolve());
  });
}

/** The last bytes of an output, as text. */
interface Tail {
  push(piece: Buffer): void;
  text(): string;
  truncated(): boolean;
}

/** Keeps the last `keepBytes`, and tells each piece on as text when someone listens. */
export function makeTail(keepBytes: number, listen: ((text: string) => void) | undefined): Tail {
  let pieces: Buffer[] = [];
  let kept = 0;
  let truncated = false;
  const decoder = listen && new TextDecoder();
  return {
    push(piece) {
      listen?.(decoder?.decode(piece, { stream: true }) ?? '');
      pieces.push(piece);
      kept += piece.length;
      // Twice the bound before it is cut, so that many small pieces cost one copy in a while.
      if (kept > keepBytes * 2) {
        pieces = [Buffer.concat(pieces).subarray(-keepBytes)];
        kept = keepBytes;
        truncated = true;
      }
    },
    text() {
      const all = Buffer.concat(pieces);
      return (all.length > keepBytes ? all.subarray(-keepBytes) : all).toString('utf8');
    },
    truncated: () => truncated || kept > keepBytes,
  };
}
