// What can go wrong with the database itself. Apart from the code so that the whole catalogue is read in one go.
import { makeCatalogue } from '../../lib/errors.ts';

export const storeProblems = makeCatalogue('store', {
  away: {
    status: 503,
    title: 'The database does not answer',
    detail: (a: { why: string }) => `The controller's database is away: ${a.why}.`,
    todo: () =>
      'Start the database or repair the way to it; Espalier goes on by itself, and sites keep serving meanwhile.',
    retryable: true,
  },
  busy: {
    status: 503,
    title: 'The database is busy',
    detail: (a: { why: string }) => `The database had no answer in time: ${a.why}.`,
    todo: () => 'Try again in a moment; `espalier doctor` shows what keeps the database busy.',
    retryable: true,
  },
  contended: {
    status: 503,
    title: 'Too many changes of the same thing at once',
    detail: (a: { attempts: number }) => `The change met others of the same rows ${a.attempts} times in a row.`,
    todo: () => 'Try again in a moment; nothing was changed.',
    retryable: true,
  },
  'in-use': {
    status: 409,
    title: 'Another controller has the data directory',
    detail: (a: { dataDir: string }) => `The state in ${a.dataDir} is open in another process.`,
    todo: () => 'Stop the other controller first (`espalier down`), or give this one a data directory of its own.',
  },
  'migration-edited': {
    status: 500,
    title: 'A migration was edited after it ran',
    detail: (a: { name: string }) => `${a.name} is not the text that this database was built with.`,
    todo: (a) => `Put the released ${a.name} back and write a new migration for the change.`,
  },
  'migration-missing': {
    status: 500,
    title: 'The database is newer than the program',
    detail: (a: { name: string }) => `This database was built with ${a.name}, which this program does not have.`,
    todo: () => 'Start the version of Espalier that last used this database, or a newer one.',
  },
  'migration-failed': {
    status: 500,
    title: 'A migration failed',
    detail: (a: { name: string; why: string }) => `${a.name} failed and left nothing behind: ${a.why}.`,
    todo: () => 'Correct what it says, or go back to the earlier version; the database is as it was before.',
  },
  'migration-name': {
    status: 500,
    title: 'The migration files are not numbered rightly',
    detail: (a: { name: string; why: string }) => `${a.name}: ${a.why}.`,
    todo: () => 'Name migrations NNNN-name.sql, with a number that no other has.',
  },
});
