// Why an agent is not let in, in words that a person can act on: what the door for servers answers in place of opening, and a
// controller whose certificate is not of our authority. Apart from the connection, which knocks again whatever the reason.
import type { IncomingMessage } from 'node:http';
import { isDisbelief } from '../lib/disbelief.ts';
import { Problem, type ProblemDocument } from '../lib/errors.ts';
import { problemSchema } from '../protocol/peer.ts';
import { protocolProblems } from '../protocol/problems.ts';

/** A door's answer is a few hundred bytes. */
const MOST_CHARACTERS = 16 * 1024;

/** The problem that a door answered with; an error with the status where it is none. */
export async function readRefusal(response: IncomingMessage): Promise<Error> {
  let text = '';
  for await (const piece of response.setEncoding('utf8')) {
    text += String(piece);
    if (text.length > MOST_CHARACTERS) break;
  }
  const parsed = problemSchema.safeParse(parseJson(text));
  return parsed.success
    ? new Problem(parsed.data as ProblemDocument)
    : new Error(`the door answered ${response.statusCode}`);
}

/** A connection that failed: a problem when that is for the certificate of who answered, else as it was. */
export function toRefusal(error: Error & { code?: string }, where: string): Error {
  if (!isDisbelief(error)) return error;
  return protocolProblems.make('other-authority', { where, why: error.message }, error);
}

/** Whether somebody answered and would not have us, rather than nobody being there. */
export const isRefusal = (thrown: unknown): thrown is Problem =>
  thrown instanceof Problem && !thrown.document.retryable;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
