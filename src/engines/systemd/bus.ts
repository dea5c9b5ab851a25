// One connection over which D-Bus messages go: authentication, calls with their replies, signals. Apart from what the
// messages mean and from what carries the bytes. Peer to peer, as systemd's private socket speaks: no broker, no names.
import type { Readable, Writable } from 'node:stream';
import type { Logger } from '../../lib/log.ts';
import {
  type DbusMessage,
  type DbusValue,
  measureMessage,
  parseMessage,
  parseValues,
  renderMessage,
} from './dbus-wire.ts';
import { systemdProblems } from './problems.ts';

export interface BusCall {
  path: string;
  interface: string;
  member: string;
  signature?: string;
  body?: readonly DbusValue[];
}

export interface Bus {
  /**
   * Sends a call and gives the values of its reply. `systemd.refused` when the other side answers with an error, whose
   * name `readErrorName` finds; `systemd.away` when the connection is or goes away; `systemd.no-answer` after the bound.
   */
  call(call: BusCall, options: { timeoutMs: number }): Promise<readonly DbusValue[]>;
  /** Resolves when the connection has ended, however. */
  readonly closed: Promise<void>;
  close(): void;
}

/** The other side lets in whoever may reach its socket (EXTERNAL), or does not ask behind a bridge (ANONYMOUS). */
const AUTHENTICATE = '\0AUTH ANONYMOUS 6573\r\n';
const BEGIN = 'BEGIN\r\n';

interface OpenCall {
  settle(outcome: { message: DbusMessage } | { problem: Error }): void;
}

/** Makes a connection of a pair of streams. `onSignal` hears every signal, in order. */
export function makeBus(parts: {
  /** For problems: `node n1`. */
  name: string;
  from: Readable;
  to: Writable;
  onSignal: (message: DbusMessage) => void;
  log: Logger;
}): Bus {
  const { name, from, to, onSignal, log } = parts;
  const open = new Map<number, OpenCall>();
  const { promise: closed, resolve: ended } = Promise.withResolvers<void>();
  let received: Buffer = Buffer.alloc(0);
  let authenticated = false;
  let gone = false;
  let serial = 0;
  /** Calls made before the other side has let us in. */
  let waiting: Buffer[] = [];

  function close(why = 'it was closed'): void {
    if (gone) return;
    gone = true;
    from.destroy();
    to.destroy();
    for (const call of [...open.values()]) call.settle({ problem: systemdProblems.make('away', { name, why }) });
    ended();
  }

  function authenticate(): void {
    const end = received.indexOf('\r\n');
    if (end < 0) return;
    const line = received.toString('latin1', 0, end);
    if (!line.startsWith('OK ')) {
      close(`it answered "${line.slice(0, 100)}" to the authentication`);
      return;
    }
    received = received.subarray(end + 2);
    authenticated = true;
    to.write(BEGIN);
    for (const bytes of waiting) to.write(bytes);
    waiting = [];
  }

  function receive(message: DbusMessage): void {
    if (message.kind === 'signal') onSignal(message);
    else if (message.replyTo !== undefined) open.get(message.replyTo)?.settle({ message });
  }

  from.on('data', (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    try {
      if (!authenticated) authenticate();
      while (authenticated && !gone) {
        const size = measureMessage(received);
        if (size === undefined || size > received.length) return;
        const message = parseMessage(received.subarray(0, size));
        received = received.subarray(size);
        receive(message);
      }
    } catch (thrown) {
      log.warn({ err: thrown, name }, 'what came over a D-Bus connection is no D-Bus');
      close('what it said is no D-Bus');
    }
  });
  for (const stream of [from, to]) {
    stream.on('error', (error: Error) => close(error.message));
    stream.on('close', () => close('the connection ended'));
  }
  from.on('end', () => close('the other side hung up'));
  to.write(AUTHENTICATE);

  return {
    closed,
    close: () => close(),
    call({ path, interface: named, member, signature = '', body = [] }, { timeoutMs }) {
      if (gone) return Promise.reject(systemdProblems.make('away', { name, why: 'the connection is gone' }));
      const id = ++serial;
      const bytes = renderMessage({ kind: 'call', serial: id, path, interface: named, member, signature }, body);
      return new Promise((resolve, reject) => {
        const finish = () => {
          clearTimeout(bound);
          open.delete(id);
        };
        const bound = setTimeout(() => {
          finish();
          reject(systemdProblems.make('no-answer', { name, member, seconds: timeoutMs / 1000 }));
        }, timeoutMs);
        open.set(id, {
          settle(outcome) {
            finish();
            if ('problem' in outcome) reject(outcome.problem);
            else if (outcome.message.kind === 'reply') resolve(readBody(outcome.message));
            else reject(toRefusal(name, member, outcome.message));
          },
        });
        if (authenticated) to.write(bytes);
        else waiting.push(bytes);
      });
    },
  };
}

const readBody = ({ signature, body }: DbusMessage) => parseValues(signature, body);

function toRefusal(name: string, member: string, message: DbusMessage): Error {
  const [text] = readBody(message);
  const error = message.errorName ?? '';
  const why = typeof text === 'string' ? text.replace(/\.$/, '') : error;
  return systemdProblems.make('refused', { name, member, error, why });
}
