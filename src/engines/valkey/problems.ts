// What can go wrong with a cache server, in words for people. Apart so that the simulated twin throws the same.
import { makeCatalogue } from '../../lib/errors.ts';

interface Where {
  /** `host:port`. */
  server: string;
}

export const valkeyProblems = makeCatalogue('valkey', {
  away: {
    status: 503,
    title: 'The cache server does not answer',
    detail: (a: Where & { why: string }) => `The cache server at ${a.server} does not answer: ${a.why}.`,
    todo: () => 'It is started again by itself; `espalier cache list` tells its state.',
    retryable: true,
  },
  busy: {
    status: 503,
    title: 'The cache server has no room for this now',
    detail: (a: Where & { why: string }) => `The cache server at ${a.server} is busy: ${a.why}.`,
    todo: () => 'It is tried again; if it stays so, look for a site that runs long scripts.',
    retryable: true,
  },
  'not-saved': {
    status: 507,
    title: 'The cache server cannot write to its disk',
    detail: (a: Where & { why: string }) => `The cache server at ${a.server} cannot write to its disk: ${a.why}.`,
    todo: () => 'Free space in the storage pool or make it larger; what waits goes on by itself then.',
    retryable: true,
  },
  'access-denied': {
    status: 502,
    title: "The cache server refuses the controller's account",
    detail: (a: Where) => `The cache server at ${a.server} refuses the controller's account or its password.`,
    todo: () => 'It is given the account again by itself; `espalier cache list` tells its state.',
  },
  'unknown-site': {
    status: 404,
    title: 'The cache server does not know this site',
    detail: (a: Where & { name: string }) => `The cache server at ${a.server} has no account "${a.name}".`,
    todo: () => 'Run `espalier doctor`: it compares what the store says with what the server holds.',
  },
  failed: {
    status: 502,
    title: 'The cache server could not do it',
    detail: (a: Where & { what: string; why: string }) => `${a.what} failed at ${a.server}: ${a.why}.`,
    todo: () => 'Run `espalier doctor`, then try again; the server’s own log is in its container’s journal.',
  },
});
