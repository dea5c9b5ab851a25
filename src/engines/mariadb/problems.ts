// What can go wrong with a database server, in words for people. Apart so that the simulated twin throws the same.
import { makeCatalogue } from '../../lib/errors.ts';

interface Where {
  /** `host:port`. */
  server: string;
}

export const mariadbProblems = makeCatalogue('mariadb', {
  away: {
    status: 503,
    title: 'The database server does not answer',
    detail: (a: Where & { why: string }) => `The database server at ${a.server} does not answer: ${a.why}.`,
    todo: () => 'It is started again by itself; `espalier database list` tells its state.',
    retryable: true,
  },
  busy: {
    status: 503,
    title: 'The database server has no room for this now',
    detail: (a: Where & { why: string }) => `The database server at ${a.server} is busy: ${a.why}.`,
    todo: () => 'It is tried again; if it stays so, give the server more connections or move sites away from it.',
    retryable: true,
  },
  'read-only': {
    status: 503,
    title: 'The database server takes no changes',
    detail: (a: Where) => `The database server at ${a.server} is read-only.`,
    todo: () => 'It is tried again; a primary is made writable by its failover, a replica never.',
    retryable: true,
  },
  'disk-full': {
    status: 507,
    title: 'The database server has no disk left',
    detail: (a: Where) => `The disk of the database server at ${a.server} is full.`,
    todo: () => 'Free space in the storage pool or make it larger; what waits goes on by itself then.',
    retryable: true,
  },
  'access-denied': {
    status: 502,
    title: "The database server refuses the controller's account",
    detail: (a: Where) => `The database server at ${a.server} refuses the controller's account or its password.`,
    todo: () => 'It is given the account again by itself; `espalier database list` tells its state.',
  },
  'unknown-site': {
    status: 404,
    title: 'The database server does not know this site',
    detail: (a: Where & { name: string }) => `The database server at ${a.server} has nothing named "${a.name}".`,
    todo: () => 'Run `espalier doctor`: it compares what the store says with what the server holds.',
  },
  'bad-dump': {
    status: 409,
    title: 'The dump is not the one that was taken',
    detail: (a: Where & { path: string }) =>
      `The file ${a.path} on the database server at ${a.server} is missing or its checksum differs. Nothing was changed.`,
    todo: () => 'Restore from another dump.',
  },
  'dump-refused': {
    status: 409,
    title: 'The dump cannot be loaded',
    detail: (a: Where & { why: string }) =>
      `A statement of the dump was refused by the server at ${a.server}: ${a.why}.`,
    todo: () =>
      'Make the dump of this one database, without `--all-databases` and without accounts (`mysqldump --single-transaction NAME`), and try again. Exit code 127: the database server is older than this controller.',
  },
  failed: {
    status: 502,
    title: 'The database server could not do it',
    detail: (a: Where & { what: string; why: string }) => `${a.what} failed at ${a.server}: ${a.why}.`,
    todo: () => 'Run `espalier doctor`, then try again; the server’s own log is in its container’s journal.',
  },
});
