// Tells apart what may succeed when tried again. Apart because both engines and the transaction loop need the same answer.
import { Problem } from '../../lib/errors.ts';
import { storeProblems } from './problems.ts';

const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'ETIMEDOUT',
  'EPIPE',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'ENOENT',
]);
// 57P01–57P05: the server stops, crashed, starts, or dropped the session; 53300: too many connections; 25P03, 25P04: session timed out.
const AWAY = new Set(['57P01', '57P02', '57P03', '57P05', '53300', '25P03', '25P04']);
// 57014: statement_timeout; 55P03: lock_timeout; 53xxx but 53300: no resources.
const BUSY = new Set(['57014', '55P03', '53000', '53100', '53200', '53400']);
// pg says these without a code when the socket closes under it.
const LOST =
  /connection terminated|timeout exceeded when trying to connect|client has encountered a connection error|server closed the connection/i;

function codeOf(thrown: unknown): string {
  const code = (thrown as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

/** True for a transaction that lost against another and may simply be run again (serialization failure, deadlock). */
export function isConflict(thrown: unknown): boolean {
  const code = codeOf(thrown);
  return code === '40001' || code === '40P01';
}

/** True when the connection is gone, so that nothing more can be done with it. */
export function isAway(thrown: unknown): boolean {
  const code = codeOf(thrown);
  if (NETWORK.has(code) || AWAY.has(code) || code.startsWith('08')) return true;
  return thrown instanceof Error && LOST.test(thrown.message);
}

/** A retryable problem for a database that is away or busy; every other error as it is. */
export function toStoreFailure(thrown: unknown): unknown {
  if (thrown instanceof Problem || isConflict(thrown)) return thrown;
  const why = (thrown instanceof Error ? thrown.message || codeOf(thrown) : String(thrown)).replace(/\.$/, '');
  if (isAway(thrown)) return storeProblems.make('away', { why }, thrown);
  return BUSY.has(codeOf(thrown)) ? storeProblems.make('busy', { why }, thrown) : thrown;
}
