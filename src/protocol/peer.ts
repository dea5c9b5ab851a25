// Calls in both directions over one message connection: requests with a deadline, replies, cancellation.
// Apart from the contract (which methods there are) and from the WebSocket that carries the text.
import { z } from 'zod';
import { commonProblems, Problem, type ProblemDocument, toProblem } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { protocolProblems } from './problems.ts';

/** One method: what goes in and what comes out. */
export interface MethodShape {
  params: z.ZodType;
  result: z.ZodType;
}
export type Contract = Record<string, MethodShape>;
export type ParamsOf<C extends Contract, M extends keyof C> = z.infer<C[M]['params']>;
export type ResultOf<C extends Contract, M extends keyof C> = z.infer<C[M]['result']>;

/** The functions that answer a contract's methods; `signal` aborts at the caller's deadline, cancel or disconnect. */
export type Answers<C extends Contract> = {
  [M in keyof C]: (params: ParamsOf<C, M>, signal: AbortSignal) => Promise<ResultOf<C, M>>;
};

/** The least of a connection: text out, closing. Text in is given to `Peer.receive`. */
export interface Wire {
  send(text: string): void;
  close(): void;
}

export interface CallOptions {
  /** Bound of this call, milliseconds. */
  timeoutMs: number;
  signal?: AbortSignal;
}

/** The other side of a connection. */
export interface Peer<Theirs extends Contract> {
  call<M extends keyof Theirs & string>(
    method: M,
    params: ParamsOf<Theirs, M>,
    options: CallOptions,
  ): Promise<ResultOf<Theirs, M>>;
  /** Feed one received message. */
  receive(text: string): void;
  /** The connection is gone: open calls fail as retryable, calls being answered are aborted. */
  disconnected(): void;
}

/** A problem as it comes from the other side. */
export const problemSchema = z.object({
  type: z.string(),
  code: z.string(),
  title: z.string(),
  status: z.number(),
  detail: z.string(),
  todo: z.string(),
  retryable: z.boolean(),
  about: z.record(z.string(), z.unknown()).optional(),
});

/** What a timer can hold. */
const LONGEST_MS = 2 ** 31 - 1;

const messageSchema = z.discriminatedUnion('t', [
  z.object({
    t: z.literal('call'),
    id: z.number(),
    method: z.string(),
    params: z.unknown(),
    timeoutMs: z.number().positive().max(LONGEST_MS),
  }),
  z.object({ t: z.literal('cancel'), id: z.number() }),
  z.object({ t: z.literal('result'), id: z.number(), result: z.unknown() }),
  z.object({ t: z.literal('problem'), id: z.number(), problem: problemSchema }),
]);

interface OpenCall {
  settle(outcome: { result: unknown } | { problem: Problem }): void;
}

/** Makes a peer that answers `ours` and can call `theirs`. `name` stands in problems ("agent on node-1"). */
export function makePeer<Ours extends Contract, Theirs extends Contract>(parts: {
  name: string;
  wire: Wire;
  ours: Ours;
  answers: Answers<Ours>;
  theirs: Theirs;
  log: Logger;
}): Peer<Theirs> {
  const { name, wire, ours, answers, theirs, log } = parts;
  const open = new Map<number, OpenCall>();
  const answering = new Map<number, AbortController>();
  let nextId = 1;
  let gone = false;

  async function answer(id: number, method: string, params: unknown, timeoutMs: number): Promise<void> {
    const controller = new AbortController();
    const bound = setTimeout(() => controller.abort(new Error('the caller stopped waiting')), timeoutMs);
    answering.set(id, controller);
    try {
      const shape = ours[method];
      if (shape === undefined) throw protocolProblems.make('unknown-method', { method });
      const parsed = shape.params.safeParse(params);
      if (!parsed.success) {
        throw commonProblems.make('invalid-input', { where: method, why: z.prettifyError(parsed.error) });
      }
      const result = await (answers[method] as (p: unknown, s: AbortSignal) => Promise<unknown>)(
        parsed.data,
        controller.signal,
      );
      if (!gone) wire.send(JSON.stringify({ t: 'result', id, result: result ?? null }));
    } catch (thrown) {
      const problem = toProblem(thrown);
      log.debug({ method, code: problem.code, err: thrown }, 'a call from the other side failed');
      if (!gone) wire.send(JSON.stringify({ t: 'problem', id, problem: problem.document }));
    } finally {
      clearTimeout(bound);
      answering.delete(id);
    }
  }

  return {
    call(method, params, options) {
      if (gone) return Promise.reject(protocolProblems.make('disconnected', { name }));
      const id = nextId++;
      return new Promise((resolve, reject) => {
        const bound = setTimeout(() => {
          stop();
          reject(protocolProblems.make('no-answer', { name, method, seconds: options.timeoutMs / 1000 }));
        }, options.timeoutMs);
        const onAbort = () => {
          stop();
          reject(options.signal?.reason as Error);
        };
        const stop = () => {
          finish();
          if (!gone) wire.send(JSON.stringify({ t: 'cancel', id }));
        };
        const finish = () => {
          clearTimeout(bound);
          options.signal?.removeEventListener('abort', onAbort);
          open.delete(id);
        };
        if (options.signal?.aborted) {
          clearTimeout(bound);
          reject(options.signal.reason as Error);
          return;
        }
        options.signal?.addEventListener('abort', onAbort, { once: true });
        open.set(id, {
          settle(outcome) {
            finish();
            if ('problem' in outcome) reject(outcome.problem);
            else {
              const parsed = theirs[method]?.result.safeParse(outcome.result);
              if (parsed?.success) resolve(parsed.data as never);
              else reject(protocolProblems.make('bad-reply', { name, method }, parsed?.error));
            }
          },
        });
        wire.send(JSON.stringify({ t: 'call', id, method, params, timeoutMs: options.timeoutMs }));
      });
    },
    receive(text) {
      let message: z.infer<typeof messageSchema>;
      try {
        message = messageSchema.parse(JSON.parse(text));
      } catch (thrown) {
        log.warn({ err: thrown, from: name }, 'a message that is not of the protocol; the connection is closed');
        wire.close();
        return;
      }
      if (message.t === 'call') void answer(message.id, message.method, message.params, message.timeoutMs);
      else if (message.t === 'cancel') answering.get(message.id)?.abort(new Error('cancelled by the caller'));
      else if (message.t === 'result') open.get(message.id)?.settle({ result: message.result });
      else open.get(message.id)?.settle({ problem: new Problem(message.problem as ProblemDocument) });
    },
    disconnected() {
      gone = true;
      for (const call of [...open.values()]) call.settle({ problem: protocolProblems.make('disconnected', { name }) });
      for (const controller of answering.values()) controller.abort(new Error('the connection is gone'));
    },
  };
}
