// What can go wrong between Espalier and HAProxy, and what to do about it. Apart as the one place for the words.
import { makeCatalogue } from '../../lib/errors.ts';

export const haproxyProblems = makeCatalogue('haproxy', {
  away: {
    status: 503,
    title: 'HAProxy does not answer',
    detail: (a: { socket: string; why: string }) => `The socket ${a.socket} cannot be used: ${a.why}.`,
    todo: () =>
      'Its files are up to date, so it serves as soon as it runs: start the edge container, then look at `espalier doctor`.',
    retryable: true,
  },
  slow: {
    status: 504,
    title: 'HAProxy did not answer in time',
    detail: (a: { socket: string; what: string; timeoutMs: number }) =>
      `${a.what} got no answer on ${a.socket} within ${a.timeoutMs} ms.`,
    todo: () => 'Look at the load of the edge container; it is tried again by itself.',
    retryable: true,
  },
  refused: {
    status: 500,
    title: 'HAProxy refused a change',
    detail: (a: { command: string; answer: string }) => `HAProxy answered "${a.answer}" to "${a.command}".`,
    todo: () => 'The change is made again from the actual state; if it stays, restart the edge container.',
    retryable: true,
  },
  'bad-config': {
    status: 500,
    title: 'HAProxy cannot load its new configuration',
    detail: (a: { words: string }) => `HAProxy keeps serving with the last good one. Its words: ${a.words}`,
    todo: () => 'Look at the line it names; a certificate under certs/ that cannot be read is the usual cause.',
  },
});
